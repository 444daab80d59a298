"""However many workers there are and whatever fails: no window admits more than the limit."""

import sys
from random import Random
from typing import Any

import pytest

from control_plane.store.database import Database
from tests.limits.simulation import Simulation, endpoint, simulation

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def report(capsys: Any, text: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n  {text}")


async def flood(world: Simulation, limited: Any, rate: float, seconds: float, seed: int) -> None:
    """Send `rate` queries a second to random workers."""
    random = Random(seed)
    owed = 0.0
    end = world.time.now + seconds
    while world.time.now < end:
        step = random.uniform(0.005, 0.1)
        owed += rate * step
        while owed >= 1:
            owed -= 1
            world.send(random.choice(world.workers), limited)
        world.time.move(step)
        await world.settle()
    await world.finish()


@sqlite_only
@pytest.mark.parametrize("workers", [1, 2, 4, 8])
@pytest.mark.parametrize("limit", [1, 10, 100, 1_000, 10_000])
async def test_a_window_admits_its_limit_and_no_more(
    database: Database, capsys: Any, limit: int, workers: int
) -> None:
    limited = endpoint(ai_gateway=[{"calls": limit}])
    async with simulation(database, workers=workers, seed=limit * workers) as world:
        # Two windows with half as much again as is allowed, but for the part before the first.
        world.time.now += 30
        await flood(world, limited, max(1.0, limit * 1.5 / 60), 90, seed=limit + workers)
        counts = dict(world.admitted)
        assert max(counts.values()) <= limit
        unused = [limit - counts[window] for window in counts if world.refused[window]]
        report(
            capsys,
            f"limit {limit:6}, {workers} workers: admitted {list(counts.values())}, unused in "
            f"full windows {unused}, {world.network.total} leases",
        )
        assert all(left <= limit / 2 for left in unused)
