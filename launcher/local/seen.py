"""The processes of this machine as `/proc` shows them: which belong to a replica, what they use.

Used by `replica.py` to end what a replica has started, by `launcher.py` to watch its memory and to
end what a launcher that was killed has left.
"""

import contextlib
import os
import signal
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Seen:
    """A process.

    Attributes:
        pid: Its id.
        parent: Id of its parent.
        session: Id of its session.
        user: User that it runs as.
        memory: Bytes that it has in memory, those that it shares included.
    """

    pid: int
    parent: int
    session: int
    user: int
    memory: int


def look() -> list[Seen]:
    """Return all processes that have not ended; none where there is no `/proc`."""
    return list(_look())


def members(processes: Sequence[Seen], leader: int, user: int | None) -> list[Seen]:
    """Return the processes of a replica.

    Args:
        processes: All of them.
        leader: The replica's own process, which leads a session.
        user: The user that no other process has; None: it has no user of its own.
    """
    if user is not None:
        return [one for one in processes if one.user == user]
    found = {one.pid for one in processes if leader in (one.session, one.pid)}
    # Who left the session is still a child, until its parent ends.
    while more := {one.pid for one in processes if one.parent in found} - found:
        found |= more
    return [one for one in processes if one.pid in found]


def exact_memory(pids: Collection[int]) -> int:
    """Return the bytes that processes have in memory, what they share counted once."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError):
            for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def living_in(directory: Path) -> list[int]:
    """Return the processes whose home is a directory, or below one: what replicas start has it."""
    mark = b"\0HOME=" + os.fsencode(directory)
    found = []
    for pid in _pids():
        with contextlib.suppress(OSError):
            variables = b"\0" + (_PROC / str(pid) / "environ").read_bytes()
            if mark + b"\0" in variables or mark + b"/" in variables:
                found.append(pid)
    return found


def kill(pids: Collection[int]) -> None:
    """Kill processes that may have ended meanwhile."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _pids() -> Iterator[int]:
    with contextlib.suppress(FileNotFoundError), os.scandir(_PROC) as entries:
        for entry in entries:
            if entry.name.isdecimal():
                yield int(entry.name)


def _look() -> Iterator[Seen]:
    for pid in _pids():
        folder = f"{_PROC}/{pid}"
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"{folder}/stat", "rb") as file:  # noqa: PTH123 - hundreds each second
                # The name before it may hold anything.
                fields = file.read().rpartition(b")")[2].split()
            if fields[0] in (b"Z", b"X"):
                continue
            user = os.stat(folder).st_uid  # noqa: PTH116 - as above
            yield Seen(pid, int(fields[1]), int(fields[3]), user, int(fields[21]) * _PAGE)
