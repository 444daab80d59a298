"""Turns a fresh process into a replica: takes away what it must not have, then runs its server.

A script of its own, with the standard library alone: the launcher has threads, so it cannot do this
between fork and exec. `process.py` starts it with an empty environment, since it may still be root
while it reads its orders (one JSON object on standard input), and the model's owner chooses
variables that loaders and interpreters obey.
"""

import ctypes
import json
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_MOST_KILLABLE = "1000"
_NICENESS = 5


def main() -> None:
    """Do as ordered; does not return."""
    orders = json.loads(sys.stdin.buffer.read())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    _be_first_to_go()
    for name, value in orders["limits"].items():
        _limit(getattr(resource, name), value)
    if orders["user"]:
        os.setgroups([])
        os.setgid(orders["user"])
        os.setuid(orders["user"])
    # After the change of user, which would undo it.
    _die_with(orders["parent"])
    os.umask(0o077)
    os.chdir(orders["directory"])
    try:
        os.execve(orders["command"][0], orders["command"], orders["environment"])  # noqa: S606
    except OSError as error:
        sys.exit(f"the model's Python cannot be started: {error.strerror}")


def _be_first_to_go() -> None:
    """Yield to the deployment's own processes: where memory runs out, and for processors."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 - imports as little as may be
            file.write(_MOST_KILLABLE)
    except OSError:
        pass  # Not Linux, or not allowed.
    os.nice(_NICENESS)


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    most = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (most, most))


def _die_with(parent: int) -> None:
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main()
