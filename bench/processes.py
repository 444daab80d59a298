"""CPU time and memory of other processes, as Linux tells them.

A process may end while it is looked at: what looks at one says so with a `ProcessLookupError`, and
what looks at several goes on without it.
"""

import errno
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

# Words after the first of a line in /proc/PID/smaps that begins what is no file.
_UNNAMED = 4
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used with all its threads.

    Raises:
        ProcessLookupError: It has ended.
    """
    try:
        # A process's clock in Linux, as clock_getcpuclockid(3) makes it: /proc has hundredths only.
        return time.clock_gettime((~pid << 3) | 2)
    except OSError as error:
        raise ProcessLookupError(errno.ESRCH, f"process {pid} has ended") from error


class CpuCount:
    """CPU time of processes, some of which may end while they are counted, or begin."""

    def __init__(self, pids: Iterable[int], *, with_children: bool = False) -> None:
        """Count some processes.

        Args:
            pids: The processes.
            with_children: Whether all count that they have started, or start until the last look.
        """
        self._pids = list(pids)
        self._with_children = with_children
        self._seen: dict[int, float] = {}

    def seconds(self) -> float:
        """Look, and return the seconds of all; what has ended keeps those of the look before."""
        trees = map(process_tree, self._pids) if self._with_children else [self._pids]
        self._seen |= each_of((pid for tree in trees for pid in tree), cpu_seconds)
        return sum(self._seen.values())


def each_of(pids: Iterable[int], measure: Callable[[int], T]) -> dict[int, T]:
    """Return what `measure` tells of each process, without those that have ended."""
    found = {}
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            found[pid] = measure(pid)
    return found


def busy_seconds() -> float:
    """Return the time, of all CPUs together, in which there was something to do."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    # Time as a guest is part of the first two; the fourth and fifth are idle.
    return (sum(fields[:8]) - sum(fields[3:5])) / _TICKS_PER_SECOND


def process_tree(pid: int) -> list[int]:
    """Return a process and all that it has started, and those have started, that still run."""
    found = [pid]
    for parent in found:
        found += _children(parent)
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    # The process, or one of its threads, may end while it is looked at.
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (task / "children").read_text().split())
    return found


def is_zombie(pid: int) -> bool:
    """Return whether a process has ended, with only its parent still to be told."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def process_name(pid: int) -> str:
    """Return the command line of a process, with its arguments.

    Raises:
        ProcessLookupError: It has ended.
    """
    command = b""
    with suppress(FileNotFoundError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    if not command:
        raise ProcessLookupError(errno.ESRCH, f"process {pid} has ended")
    return command.replace(b"\0", b" ").decode().strip()


def tree_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of all that it has started and that still run."""
    return sum(each_of(process_tree(pid), cpu_seconds).values())


def tree_peak_memory_mib(pid: int) -> float:
    """Return the sum, in MiB, of the peaks of a process and of all that it has started.

    The peaks need not have come at the same time, and shared pages count for each process.
    """
    return sum(each_of(process_tree(pid), peak_memory_mib).values())


def peak_memory_mib(pid: int) -> float:
    """Return the most memory, in MiB, that a process has had resident.

    Raises:
        ProcessLookupError: It has ended.
    """
    return _status_mib(pid, "VmHWM")


def memory_mib(pid: int) -> float:
    """Return the memory, in MiB, that a process has resident.

    Raises:
        ProcessLookupError: It has ended.
    """
    return _status_mib(pid, "VmRSS")


def proportional_memory_mib(pid: int) -> float:
    """Return the memory, in MiB, of a process, with its part of what it shares.

    Raises:
        ProcessLookupError: It has ended.
    """
    with suppress(FileNotFoundError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    raise ProcessLookupError(errno.ESRCH, f"process {pid} has ended")


def joint_memory_mib(pids: Sequence[int]) -> float:
    """Return the memory, in MiB, that processes have together, with what they share counted once.

    Unlike the sum of their proportional parts, it does not depend on who else has the same files.
    """
    own = 0
    of_files: dict[str, int] = {}
    for pid in pids:
        mapped: dict[str, int] = defaultdict(int)
        name = ""
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            field, *words = line.split()
            if "-" in field:
                name = words[4] if len(words) > _UNNAMED else ""
            elif field == "Rss:":
                mapped[name] += int(words[0])
            elif field == "Anonymous:":
                mapped[name] -= int(words[0])
                own += int(words[0])
        for name, kib in mapped.items():
            of_files[name] = max(of_files.get(name, 0), kib)
    return (own + sum(of_files.values())) / 1024


def _status_mib(pid: int, field: str) -> float:
    with suppress(FileNotFoundError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return int(value.split()[0]) / 1024
    # One that its parent has still to be told of has no memory any longer.
    raise ProcessLookupError(errno.ESRCH, f"process {pid} has ended")
