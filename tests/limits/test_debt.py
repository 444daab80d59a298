"""Limits on tokens are not exceeded but for what is documented, whatever comes, goes or fails.

What the queries under way use beyond what is likely, when a limit runs out, is owed: it is taken
from the minutes to come.
"""

import sys
from random import Random
from typing import Any

import pytest
from sqlalchemy import func
from sqlmodel import col, select

from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.tables import QuotaRow
from tests.effort import times
from tests.limits.callers import CHUNK, Callers, Habit, Truth
from tests.limits.simulation import Simulation, endpoint, simulation

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def owed(database: Database) -> int:
    async with database.read() as session:
        return (await session.exec(select(func.sum(col(QuotaRow.debt))))).one() or 0


async def check(database: Database, capsys: Any, world: Simulation, truth: Truth) -> None:
    """Check that all that was used was granted or is owed, and that little was ever owed."""
    await world.run(3)
    windows = world.window - min(truth.used) + 1
    debt = await owed(database)
    with capsys.disabled():
        sys.stdout.write(f"\n  {truth.summary()}, {debt} owed in the end")
    assert truth.settled - debt <= truth.limit * windows
    # All that was under way when a limit ran out, each with all that it used beyond.
    worst = sorted(truth.beyond, reverse=True)
    for window in truth.used:
        assert -truth.left(window) <= sum(worst[: truth.most_under_way[window]])


@sqlite_only
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("limit", [300, 5_000])
async def test_long_answers_after_short_ones(
    database: Database, capsys: Any, limit: int, *, stream: bool
) -> None:
    """What is likely is far from what comes."""
    truth = Truth(limit)
    async with simulation(database, workers=4, seed=limit) as world:
        callers = Callers(world, endpoint(ai_gateway=[{"tokens": limit}]), truth)
        callers.start(Habit((10, 10), clients=2, pause=0.3))
        await world.run(8)
        await callers.stop()
        callers = Callers(world, endpoint(ai_gateway=[{"tokens": limit}]), truth)
        callers.start(Habit((limit // 4, limit // 4), clients=5, pause=0.3, stream=stream))
        await world.run(130, step=0.1)
        await callers.stop()
        await check(database, capsys, world, truth)
        if stream:
            # A stream takes what it uses as it goes, and ends when no more is to be had: within a
            # chunk, but for the last one that was admitted.
            assert truth.cut
            assert truth.overshoot <= 5 * CHUNK + limit // 4


@sqlite_only
@pytest.mark.parametrize("workers", [1, 4])
async def test_a_limit_that_a_single_answer_exceeds(
    database: Database, capsys: Any, workers: int
) -> None:
    truth = Truth(300)
    async with simulation(database, workers=workers, seed=workers) as world:
        callers = Callers(world, endpoint(ai_gateway=[{"tokens": 300}]), truth)
        callers.start(Habit((700, 700), clients=3, pause=1.0, seconds=(0.5, 1.0)))
        await world.run(400, step=0.1)
        await callers.stop()
        await check(database, capsys, world, truth)
    # In the long run, it is what it says.
    assert truth.used.total() <= 300 * 7 + 3 * 700


@pytest.mark.parametrize("seed", range(times(2, 12)))
async def test_whatever_comes_and_goes(database: Database, capsys: Any, seed: int) -> None:
    random = Random(seed)
    limit = random.choice([300, 1_000, 20_000])
    tokens = max(10, limit // 50)
    truth = Truth(limit)
    async with simulation(database, workers=4, planes=2, seed=seed) as world:
        world.network.delay = 0.05
        callers = Callers(world, endpoint(ai_gateway=[{"tokens": limit}]), truth, seed)
        for stream in (False, True):
            bound = random.choice([None, tokens, 4_096])
            habit = Habit((5, tokens * 3), clients=4, pause=0.3, max_tokens=bound, stream=stream)
            callers.start(habit)
        world.time.now += random.uniform(0, 60)
        for _ in range(times(240, 600)):
            disturb(world, random, f"worker-{seed}-{_}")
            await world.run(0.5, step=0.1)
        world.network.loss, world.network.down = 0.0, set()
        for worker in world.workers:
            worker.pause(paused=False)
        await world.run(5)
        await callers.stop()
        await check(database, capsys, world, truth)


def disturb(world: Simulation, random: Random, name: str) -> None:
    """Kill, stop or lose something, or let it go on."""
    worker, dice = random.choice(world.workers), random.random()
    if dice < 0.02:
        worker.kill()
        world.workers.remove(worker)
        world.start_worker(name)
    elif dice < 0.05:
        worker.pause(paused=True)
    elif dice < 0.2:
        worker.pause(paused=False)
    elif dice < 0.24:
        world.network.down = {random.randrange(2)}
    elif dice < 0.34:
        world.network.down = set()
    elif dice < 0.36:
        world.network.loss = 0.05
    elif dice < 0.46:
        world.network.loss = 0.0
