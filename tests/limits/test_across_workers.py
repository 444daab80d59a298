"""However many workers there are and whatever fails: no window admits more than the limit."""

import sys
from random import Random
from typing import Any

import pytest

from modelplane.control_plane.store.database import Database
from modelplane.data_plane.snapshots.snapshot import Endpoint
from tests.effort import times
from tests.limits.simulation import Simulation, endpoint, simulation

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def report(capsys: Any, world: Simulation, what: str) -> None:
    """Print what became of the queries, and check what the documentation promises."""
    windows = sorted(world.admitted)
    admitted = [world.admitted[window] for window in windows]
    assert max(admitted) <= world.limit
    unused = [world.limit - world.admitted[window] for window in windows if world.refused[window]]
    with capsys.disabled():
        sys.stdout.write(
            f"\n  limit {world.limit:6}, {what}: admitted {admitted}, refused early "
            f"{world.early.total()}, unused at the end of windows that refused {unused}, "
            f"{world.network.total} leases"
        )


async def flood(
    world: Simulation, limited: Endpoint, rate: float, seconds: float, seed: int, chaos: Any = None
) -> None:
    """Send `rate` queries a second to random workers, and let `chaos` do what it does."""
    random = Random(seed)
    owed = 0.0
    end = world.time.now + seconds
    while world.time.now < end:
        step = random.uniform(0.005, 0.1)
        owed += rate * step
        while owed >= 1:
            owed -= 1
            world.send(random.choice(world.workers), limited)
        if chaos is not None:
            chaos(random)
        world.time.move(step)
        await world.settle()
    for worker in world.workers:
        worker.pause(paused=False)
    await world.finish()


@sqlite_only
@pytest.mark.parametrize("workers", [1, 2, 4, 8])
@pytest.mark.parametrize("limit", [1, 10, 100, 1_000, 10_000])
async def test_a_window_admits_its_limit_and_no_more(
    database: Database, capsys: Any, limit: int, workers: int
) -> None:
    limited = endpoint(ai_gateway=[{"calls": limit}])
    async with simulation(database, workers=workers, seed=limit * workers) as world:
        world.limit = limit
        # Half as much again as is allowed, from the middle of a window to that of the next one.
        world.time.now += 30
        await flood(world, limited, max(1.0, limit * 1.5 / 60), 80, seed=limit + workers)
        report(capsys, world, f"{workers} workers")
        # With the traffic spread evenly nothing is left over.
        full = [world.admitted[window] for window in world.admitted if world.refused[window]]
        assert all(count >= limit * 0.98 - 1 for count in full)


@sqlite_only
async def test_who_stops_using_what_it_holds_returns_it(database: Database, capsys: Any) -> None:
    limited = endpoint(ai_gateway=[{"calls": 2_400}])
    async with simulation(database, workers=4, seed=7) as world:
        world.limit = 2_400
        for _ in range(100):
            for worker in world.workers:
                world.send(worker, limited)
            await world.run(0.005, step=0.005)
        held = [worker.held for worker in world.workers]
        # All together hold no more than a twentieth of the limit.
        assert 0 < sum(held) <= 2_400 / 20
        await world.run(5)
        assert [worker.held for worker in world.workers] == [0, 0, 0, 0]
        for _ in range(2_050):
            world.send(world.workers[0], limited)
            await world.run(0.005, step=0.005)
        await world.finish()
        report(capsys, world, "3 of 4 workers fall idle")
        assert world.admitted.total() == 2_400


@pytest.mark.parametrize("seed", range(times(2, 12)))
async def test_nothing_exceeds_a_limit_while_workers_and_control_planes_come_and_go(
    database: Database, capsys: Any, seed: int
) -> None:
    limited = endpoint(rate_limits=[{"calls": 300}])
    async with simulation(database, workers=4, planes=2, seed=seed) as world:
        world.limit = 300
        world.network.loss = 0.02
        world.network.delay = 0.3
        world.time.now += 40 + seed

        def chaos(random: Random) -> None:
            worker = random.choice(world.workers)
            dice = random.random()
            if dice < 0.01:
                worker.kill()
                world.workers.remove(worker)
                world.start_worker(f"worker-{seed}-{world.time.now}")
            elif dice < 0.03:
                worker.pause(paused=True)
            elif dice < 0.06:
                worker.pause(paused=False)
            elif dice < 0.07:
                world.network.down = {random.randrange(2)}
            elif dice < 0.08:
                world.network.down = set()

        await flood(world, limited, 10.0, 80, seed, chaos)
        report(capsys, world, f"4 workers that come and go, run {seed}")


@sqlite_only
async def test_a_paused_worker_uses_nothing_of_a_window_that_is_over(database: Database) -> None:
    limited = endpoint(ai_gateway=[{"calls": 1_000}])
    async with simulation(database, workers=2, seed=3) as world:
        world.limit = 1_000
        first, second = world.workers
        for _ in range(20):
            world.send(first, limited)
            await world.run(0.01, step=0.01)
        held = first.held
        assert held > 0
        world.send(second, limited)
        first.pause(paused=True)
        asked = world.send(first, limited)
        # The whole process stands still: what it held is void when it goes on.
        world.time.move(60)
        await world.settle()
        first.pause(paused=False)
        await world.finish()
        assert asked.done()
        for _ in range(1_000):
            world.send(first, limited)
            world.send(second, limited)
            await world.run(0.01, step=0.01)
        await world.finish()
        assert max(world.admitted.values()) == 1_000


@sqlite_only
async def test_a_lease_that_took_into_the_next_window_is_asked_for_again(
    database: Database,
) -> None:
    limited = endpoint(ai_gateway=[{"calls": 5}])
    async with simulation(database, workers=1) as world:
        world.limit = 5
        world.network.delay = 0.0
        world.time.now += 59.5
        worker = world.workers[0]
        worker.pause(paused=True)
        task = world.send(worker, limited)
        await world.run(0.1)
        await world.run(3.0)
        worker.pause(paused=False)
        await world.finish()
        assert task.result() is not None
        for _ in range(10):
            world.send(worker, limited)
            await world.run(0.1)
        assert world.admitted == {world.window: 5}


async def test_limits_are_changed_within_a_window(database: Database) -> None:
    async with simulation(database, workers=3) as world:
        loose, tight = (endpoint(ai_gateway=[{"calls": calls}]) for calls in (1_000, 50))
        world.limit = 1_000
        await flood(world, loose, 40.0, 1.0, seed=1)
        assert world.admitted.total() == 40
        await flood(world, tight, 40.0, 5.0, seed=2)
        assert world.admitted.total() == 50
        await flood(world, loose, 40.0, 1.0, seed=3)
        assert world.admitted.total() > 80
        blocked = endpoint(ai_gateway=[{"calls": 0}])
        before = world.admitted.total()
        await flood(world, blocked, 40.0, 1.0, seed=4)
        assert world.admitted.total() == before
