"""CPU time and memory of other processes, read from /proc."""

import os
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int | str) -> float:
    """Return the CPU time that a process has used with all its threads; "self" is this one."""
    # The name, in parentheses, may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def peak_memory_mib(pid: int) -> float:
    """Return the most memory, in MiB, that a process has had resident."""
    return _status_mib(pid, "VmHWM")


def memory_mib(pid: int) -> float:
    """Return the memory, in MiB, that a process has resident."""
    return _status_mib(pid, "VmRSS")


def _status_mib(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) / 1024
    raise LookupError(f"/proc/{pid}/status has no {field}")
