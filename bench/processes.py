"""CPU time and memory of other processes, as Linux tells them."""

import os
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

# Words after the first of a line in /proc/PID/smaps that begins what is no file.
_UNNAMED = 4
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used with all its threads."""
    # A process's clock in Linux, as clock_getcpuclockid(3) makes it: /proc has hundredths only.
    return time.clock_gettime((~pid << 3) | 2)


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
    """Return the command line of a process, with its arguments."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()


def tree_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of all that it has started."""
    return sum(cpu_seconds(each) for each in process_tree(pid))


def tree_peak_memory_mib(pid: int) -> float:
    """Return the sum, in MiB, of the peaks of a process and of all that it has started.

    The peaks need not have come at the same time, and shared pages count for each process.
    """
    return sum(peak_memory_mib(each) for each in process_tree(pid))


def peak_memory_mib(pid: int) -> float:
    """Return the most memory, in MiB, that a process has had resident."""
    return _status_mib(pid, "VmHWM")


def memory_mib(pid: int) -> float:
    """Return the memory, in MiB, that a process has resident."""
    return _status_mib(pid, "VmRSS")


def proportional_memory_mib(pid: int) -> float:
    """Return the memory, in MiB, of a process, with its part of what it shares."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("Linux does not tell the memory of the process")


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
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) / 1024
    raise LookupError(f"/proc/{pid}/status has no {field}")
