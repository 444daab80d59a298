"""Many starts and stops leave nothing behind: no process, no file, no descriptor, no memory."""

import gc
import os
from pathlib import Path

import pytest

from modelplane.launcher.local import seen
from tests.effort import times
from tests.launcher.groups import LocalMachine, group, machine


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def children() -> set[int]:
    return {one.pid for one in seen.look() if one.parent == os.getpid()}


async def cycle(here: LocalMachine, number: int) -> None:
    """Start a model in one of the ways that models have, and end it."""
    behaviours: tuple[dict[str, object], ...] = (
        {},
        {"children": 1},
        {"escaped": 1},
        {"error": "no"},
        {"hang": True},
    )
    behaviour = behaviours[number % len(behaviours)]
    spec = group(here.models.add(f"model-{number % len(behaviours)}", **behaviour))
    here.run(spec)
    if "error" in behaviour:
        await here.until_failed(spec)
    elif "hang" in behaviour:
        await here.until(lambda: here.group(spec).replicas)
    else:
        await here.until_ready(spec)
    here.run()
    if number % 2:
        for one in list(here.launcher._groups.values()):
            one.hurry()
    await here.until_gone(spec)


@pytest.mark.timeout(1200)
async def test_starts_and_stops_leave_nothing_behind(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        for number in range(10):
            await cycle(here, number)
        # What tests before it have left is collected first.
        objects, files, processes = count_objects(), descriptors(), children()
        for number in range(times(10, 500)):
            await cycle(here, number)
        # What has just ended may be about to close the last of them.
        await here.until(lambda: descriptors() <= files)
        await here.until(lambda: children() <= processes)
        assert list((here.folder / "replicas").iterdir()) == []
        assert seen.living_in(here.folder) == []
        assert here.report().capacity.reserved_memory_bytes == 0
        # Hundreds of cycles, each of which kept a thing, would show.
        assert count_objects() - objects < 500


def count_objects() -> int:
    gc.collect()
    return len(gc.get_objects())
