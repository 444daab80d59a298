"""Measures how long a deployment takes from `modelplane up` to its first answer, and its memory.

Called by `python -m bench`. Wall time says little where others use the machine: the CPU time of
all processes beside it is what they took themselves.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.processes import (
    cpu_seconds,
    each_of,
    joint_memory_mib,
    process_name,
    process_tree,
    proportional_memory_mib,
)
from bench.report import Row, Table, table_of
from bench.stream_crowd import short_name
from bench.system import running_system

# Time after the first answer in which what begins beside it is done.
_SETTLE_SECONDS = 5.0


async def measure(*, starts: int) -> Table:
    """Return what a first start takes, and what later ones on the same data do.

    Args:
        starts: How many of the later ones; the one with the least CPU time counts.
    """
    with tempfile.TemporaryDirectory(prefix="modelplane-start-") as name:
        first = await _start(Path(name))
        later = min([await _start(Path(name)) for _ in range(starts)], key=lambda one: one[1].value)
    rows = [_named(row, "first") for row in first] + [_named(row, "later") for row in later]
    return table_of("Start", rows)


async def _start(directory: Path) -> Sequence[Row]:
    started = time.perf_counter()
    async with running_system(directory, "--workers", "1") as system:
        seconds = time.perf_counter() - started
        used = each_of(process_tree(system.up.pid), cpu_seconds)
        rows = [
            Row("until the first answer", seconds, "s", "below 3"),
            Row("CPU until then", sum(used.values()), "s CPU"),
        ]
        await asyncio.sleep(_SETTLE_SECONDS)
        # What only helped to start is gone by now.
        memory = each_of(process_tree(system.up.pid), proportional_memory_mib)
        for pid, command in each_of(memory, process_name).items():
            name, held = short_name(command), memory[pid]
            rows += [
                Row(f"CPU of {name}", used.get(pid, 0.0), "s CPU"),
                Row(f"memory of {name}", held, "MiB PSS"),
            ]
        parts = [system.control_plane, *system.workers, system.envoy]
        together = joint_memory_mib([part.pid for part in parts if part.pid is not None])
        label = "memory of control plane, worker and Envoy together"
        return [*rows, Row(label, together, "MiB", "below 250")]


def _named(row: Row, start: str) -> Row:
    return Row(f"{start} start: {row.measurement}", row.value, row.unit, row.goal)
