"""What runs as a job on a Ray cluster: a host, beside the processes that Ray ends.

Submitted by `jobs.py`; runs on Ray's machines, in the environment of modelplane there. Ray ends a
job by SIGTERM to each process below its supervisor (ray/dashboard/modules/job/job_supervisor.py),
replicas as well, which would refuse requests before workers know. So the job's own process only
stands for the host, which a keeper of its own runs outside that tree. The keeper ends the host when
the job's process is told to end, and when that is gone: a host never outlives its job.
"""

import ctypes
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from modelplane.adapters.shared.settings import environment

# What the job is given that is no setting of a launcher.
TOKEN = "MODELPLANE_HOST_TOKEN"  # noqa: S105 - the variable's name
CA = "MODELPLANE_HOST_CA"
FOLDER = "MODELPLANE_HOST_FOLDER"
# Beside what requests may take, until a host that was told to end is killed.
GRACE_SECONDS = 15
_ADDRESS = "RAY_ADDRESS"
# What Ray says to jobs, its token among it, is nothing for models.
_OF_RAY = "RAY_"
_COMMAND = ("-I", "-m", "modelplane.launcher")
_PR_SET_PDEATHSIG = 1
_FAILED = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def variables(folder: Path, given: Mapping[str, str], address: str) -> dict[str, str]:
    """Return the environment of a host, whose files are written into a folder.

    Args:
        folder: An empty directory of its own.
        given: Environment of the job.
        address: Address of this machine, as Ray knows it.
    """
    token, authority = folder / "token", folder / "ca.crt"
    token.touch(mode=0o600)
    token.write_text(given[TOKEN])
    authority.write_text(given[CA])
    kept = {
        name: value
        for name, value in given.items()
        if name not in (TOKEN, CA, FOLDER) and not name.startswith(_OF_RAY)
    }
    return kept | {
        "MODELPLANE_TLS_CA": str(authority),
        "MODELPLANE_LAUNCHER_TOKEN_FILE": str(token),
        "MODELPLANE_LAUNCHER_DIR": str(folder / "launcher"),
        "MODELPLANE_REPLICA_HOST": address,
    }


def own_address(cluster: str) -> str:
    """Return the address of this machine towards Ray's head, `host:port`: its name in Ray.

    Raises:
        OSError: There is no way to the head.
    """
    host, _, port = cluster.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
    with socket.socket(found[0], found[1]) as way:
        # Sends nothing.
        way.connect(found[4])
        address: str = way.getsockname()[0]
        return address


def main() -> int:
    """Stand for a host until it ends; return its exit status."""
    ours, theirs = socket.socketpair()

    def end(*_: object) -> None:
        with suppress(OSError):
            ours.shutdown(socket.SHUT_WR)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    child = os.fork()
    if not child:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        ours.close()
        os.setsid()
        # Its parent ends at once, so that it is below nobody.
        os._exit(0 if os.fork() else _keep(theirs))
    theirs.close()
    os.waitpid(child, 0)
    status = ours.recv(1)
    return status[0] if status else _FAILED


def _keep(line: socket.socket) -> int:
    """Run a host for as long as the job's process holds the line; tell it the exit status."""
    status, folder = _FAILED, ""
    try:
        given = environment()
        folder = tempfile.mkdtemp(prefix="modelplane-host-", dir=given.get(FOLDER) or None)
        address = own_address(given[_ADDRESS])
        status = _run(line, variables(Path(folder), given, address))
    except (OSError, KeyError, ValueError) as error:
        print(f"The host cannot start: {error!r}", file=sys.stderr, flush=True)  # noqa: T201
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        # Who is told may be gone.
        with suppress(OSError):
            line.send(bytes([status & 0xFF]))
    return 0


def _run(line: socket.socket, given: Mapping[str, str]) -> int:
    parent = os.getpid()

    def end_with_keeper() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(_FAILED)

    host = subprocess.Popen(  # noqa: S603 - this program
        [sys.executable, *_COMMAND],
        env=dict(given),
        start_new_session=True,
        preexec_fn=end_with_keeper,  # noqa: PLW1509 - this process has one thread
    )
    ended = os.pidfd_open(host.pid)
    waiting = select.poll()
    waiting.register(ended, select.POLLIN)
    waiting.register(line, select.POLLIN)
    if ended not in dict(waiting.poll()):
        host.terminate()
        try:
            host.wait(float(given["MODELPLANE_DRAIN_SECONDS"]) + GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            host.kill()
    os.close(ended)
    return host.wait()


if __name__ == "__main__":
    sys.exit(main())
