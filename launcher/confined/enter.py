"""Turns a fresh process into a confined one: takes away what it must not have, then runs its own.

A script of its own, with the standard library alone: the launcher has threads, so it cannot do this
between fork and exec. It is started with an empty environment, since it may still be root while it
reads its orders (`orders.py`: one JSON object on standard input), and the model's owner chooses
variables that loaders and interpreters obey.
"""

import ctypes
import json
import os
import resource
import signal
import stat
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWNS, _CLONE_NEWIPC = 0x20000, 0x8000000
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x2, 0x4, 0x1000, 0x4000, 0x40000
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
        if orders["views"]:
            _cover_all(orders["views"])
        os.setgroups([])
        os.setgid(orders["user"])
        os.setuid(orders["user"])
    # After the change of user, which would undo it.
    _die_with(orders["parent"])
    os.umask(orders["umask"])
    os.chdir(orders["directory"])
    try:
        os.execve(orders["command"][0], orders["command"], orders["environment"])  # noqa: S606
    except OSError as error:
        sys.exit(f"the model's Python cannot be started: {error.strerror}")


def _cover_all(views: list[tuple[str, str, str, list[str]]]) -> None:
    """Put other folders over some, for this process alone, and show there only what it needs.

    Args:
        views: As `views.View` has them.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(_CLONE_NEWNS | _CLONE_NEWIPC))
    _mount(libc, "none", "/", "", _MS_REC | _MS_PRIVATE, "")
    # Held open: once a folder is covered, no path leads there any longer.
    held = {path: os.open(path, os.O_PATH) for _, _, _, shown in views for path in shown}
    covers = {cover: os.open(cover, os.O_PATH) for _, cover, _, _ in views if cover}
    for folder, cover, options, shown in views:
        if cover:
            _bind(libc, covers[cover], folder)
        else:
            _mount(libc, "tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NODEV, options)
        for path in shown:
            _make_place(path, held[path])
            _bind(libc, held[path], path)
    for descriptor in (*held.values(), *covers.values()):
        os.close(descriptor)


def _bind(libc: ctypes.CDLL, descriptor: int, path: str) -> None:
    _mount(libc, f"/proc/self/fd/{descriptor}", path, "", _MS_BIND | _MS_REC, "")


def _make_place(path: str, descriptor: int) -> None:
    """Make an empty file or folder to show a file or folder at."""
    is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
    folder = path if is_folder else os.path.dirname(path)  # noqa: PTH120 - imports as little as may be
    os.makedirs(folder, mode=0o755, exist_ok=True)  # noqa: PTH103 - as above
    if not is_folder:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))


def _mount(
    libc: ctypes.CDLL, source: str, target: str, kind: str, flags: int, options: str
) -> None:
    texts = (source.encode(), target.encode(), kind.encode())
    _check(libc.mount(*texts, ctypes.c_ulong(flags), options.encode()))


def _check(result: int) -> None:
    if result:
        reason = os.strerror(ctypes.get_errno())
        sys.exit(
            "a process with a user of its own cannot be given folders of its own in the place of "
            f"those that others have ({reason}): let the operator allow the launcher to mount, or "
            "take CAP_SYS_ADMIN from it and choose a MODELPLANE_LAUNCHER_DIR that all may pass"
        )


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
