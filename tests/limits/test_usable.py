"""Limits on tokens can be used up, by whomever and over however many workers.

The other half, that they are not exceeded, is `test_debt.py`.
"""

import sys
from random import Random
from typing import Any

import pytest

from modelplane.control_plane.store.database import Database
from modelplane.data_plane.snapshots.callers import Principal
from tests.effort import times
from tests.limits.callers import Callers, Habit, Truth
from tests.limits.simulation import Simulation, endpoint, simulation

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
BOB = Principal("id-bob", "bob")
# The smallest and the largest of what is promised; the rest in `make test-long`.
WORKERS = pytest.mark.parametrize("workers", [1, 2, 4, 8][:: times(3, 1)])
LIMITS = pytest.mark.parametrize("limit", [300, 1_000, 5_000, 100_000][:: times(3, 1)])
# As parts of an answer.
MAX_TOKENS = pytest.mark.parametrize("max_tokens", [None, 1, 40])
# A worker makes no more calls a second than this, for one counter that is called all the time.
MOST_CALLS = 20


def size(limit: int) -> int:
    """Return the tokens of an answer: a hundredth of a limit, or ten of a small one."""
    return max(10, limit // 100)


def call(tokens: int, **fields: Any) -> Habit:
    return Habit((tokens, tokens), **fields)


async def observe(
    database: Database, capsys: Any, limit: int, workers: int, *habits: Habit, seconds: float = 45
) -> Truth:
    """Let callers call, and report what became of it."""
    limited = endpoint(ai_gateway=[{"tokens": limit}])
    truth = Truth(limit)
    async with simulation(database, workers=workers, seed=limit + workers) as world:
        callers = Callers(world, limited, truth)
        world.time.now += 10
        for habit in habits:
            callers.start(habit)
        await world.run(seconds)
        await callers.stop()
        report(capsys, world, f"limit {limit}, {workers} workers: {truth.summary()}")
        assert world.network.total <= MOST_CALLS * workers * seconds
    return truth


def report(capsys: Any, world: Simulation, text: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n  {text}, {world.network.total} leases")


def check(truth: Truth) -> None:
    """Check that the limit was used up before anyone was refused."""
    assert truth.refusals
    assert not truth.early
    assert all(share >= 0.9 for share in truth.shares)


@MAX_TOKENS
@WORKERS
@LIMITS
async def test_one_call_after_the_other(
    database: Database, capsys: Any, limit: int, workers: int, max_tokens: int | None
) -> None:
    tokens = size(limit)
    bound = max_tokens and tokens * max_tokens
    habit = call(tokens, pause=0.1, seconds=(0.05, 0.05), max_tokens=bound)
    check(await observe(database, capsys, limit, workers, habit))


async def test_the_reported_case(database: Database, capsys: Any) -> None:
    # Two workers, 1,000 tokens a minute, answers of 10, one each half second: 40 of 40.
    habit = call(10, pause=0.2, seconds=(0.05, 0.05))
    truth = await observe(database, capsys, 1_000, 2, habit, seconds=20)
    assert not truth.refusals
    assert truth.used.total() >= 330


@WORKERS
@LIMITS
async def test_slow_answers(database: Database, capsys: Any, limit: int, workers: int) -> None:
    steady = call(size(limit), pause=0.3, seconds=(0.05, 0.05), max_tokens=4_096)
    slow = call(size(limit), clients=4, pause=1.0, seconds=(2.0, 6.0))
    check(await observe(database, capsys, limit, workers, steady, slow))


@WORKERS
@LIMITS
async def test_many_at_once_all_the_time(
    database: Database, capsys: Any, limit: int, workers: int
) -> None:
    habit = call(size(limit), clients=10, pause=0.05, seconds=(0.2, 1.0), max_tokens=4_096)
    check(await observe(database, capsys, limit, workers, habit, seconds=15))


@MAX_TOKENS
@WORKERS
@LIMITS
async def test_a_burst_at_an_endpoint_that_nobody_has_called(
    database: Database, capsys: Any, limit: int, workers: int, max_tokens: int | None
) -> None:
    tokens = size(limit)
    bound = max_tokens and tokens * max_tokens
    habit = call(tokens, clients=300, once=True, seconds=(0.1, 0.4), max_tokens=bound)
    truth = await observe(database, capsys, limit, workers, habit, seconds=6)
    # Whoever is refused in its midst is, since those who wait will use up the rest.
    assert all(share >= 0.9 for share in truth.shares)


@WORKERS
@LIMITS
async def test_answers_of_all_lengths(
    database: Database, capsys: Any, limit: int, workers: int
) -> None:
    tokens = size(limit)
    habit = Habit((tokens // 2, tokens * 4), clients=5, pause=0.4, seconds=(0.1, 2.0))
    truth = await observe(database, capsys, limit, workers, habit, seconds=100)
    assert len(truth.shares) == 2
    assert all(share >= 0.9 for share in truth.shares)
    # What is under way is known by its likely length alone.
    assert all(item.left <= limit * 0.1 + 3 * tokens for item in truth.early)


@WORKERS
async def test_a_caller_of_short_answers_beside_one_of_long_ones(
    database: Database, capsys: Any, workers: int
) -> None:
    limited, limit = endpoint(ai_gateway=[{"tokens": 5_000}]), 5_000
    truth = Truth(limit)
    async with simulation(database, workers=workers, seed=workers) as world:
        callers = Callers(world, limited, truth)
        callers.start(call(10, clients=2, pause=0.2, max_tokens=4_096))
        callers.start(call(600, pause=4.0, seconds=(3.0, 3.0), max_tokens=4_096), BOB)
        await world.run(59)
        await callers.stop()
        report(capsys, world, f"short and long, {workers} workers: {truth.summary()}")
    check(truth)


@WORKERS
@LIMITS
async def test_streams(database: Database, capsys: Any, limit: int, workers: int) -> None:
    habit = call(size(limit), clients=12, pause=0.2, stream=True, max_tokens=4_096)
    truth = await observe(database, capsys, limit, workers, habit)
    check(truth)


@WORKERS
async def test_a_limit_for_each_user(database: Database, capsys: Any, workers: int) -> None:
    limited = endpoint(ai_gateway=[{"tokens": 1_000, "key": "user"}])
    truths = [Truth(1_000), Truth(1_000)]
    async with simulation(database, workers=workers, seed=workers) as world:
        both = [Callers(world, limited, truth) for truth in truths]
        both[0].start(call(10, pause=0.1, seconds=(0.05, 0.05)))
        both[1].start(call(100, clients=2, pause=0.5), BOB)
        await world.run(50)
        for callers, truth in zip(both, truths, strict=True):
            await callers.stop()
            report(capsys, world, f"of a user, {workers} workers: {truth.summary()}")
    for truth in truths:
        check(truth)


@WORKERS
@pytest.mark.parametrize("calls", [20, 600, 100, 6_000][: times(2, 4)])
async def test_limits_on_requests_while_others_hold_idle_slices(
    database: Database, capsys: Any, calls: int, workers: int
) -> None:
    limited = endpoint(ai_gateway=[{"calls": calls}])
    async with simulation(database, workers=workers, seed=calls) as world:
        world.limit = calls
        # Every worker has some of the traffic, and falls idle at once: then one has all.
        for _ in range(calls // 2):
            world.send(world.workers[_ % workers], limited)
            await world.run(0.002, step=0.002)
        await world.finish()
        while not world.refused:
            world.send(world.workers[0], limited)
            await world.run(0.001, step=0.001)
        left = calls - world.admitted.total()
        report(capsys, world, f"{calls} calls, {workers} workers: {left} left at the first refusal")
        assert left * 10 <= calls


@pytest.mark.parametrize("seed", range(times(4, 60)))
async def test_callers_as_they_come(database: Database, capsys: Any, seed: int) -> None:
    random = Random(seed)
    limit = int(300 * 333 ** random.random())
    habits = []
    for _ in range(random.randint(1, 3)):
        seconds = random.choice([0.05, 0.5, 3.0])
        habits.append(
            call(
                random.randint(10, max(10, limit // 20)),
                clients=random.randint(1, 8),
                pause=random.choice([0.05, 0.5, 2.0]),
                seconds=(seconds / 2, seconds),
                max_tokens=random.choice([None, 5, 300, 4_096]),
                stream=random.random() < 0.3,
            )
        )
    truth = await observe(database, capsys, limit, random.randint(1, 8), *habits)
    assert all(share >= 0.9 for share in truth.shares)
    # Who waited in vain for the first answers that were ever seen may come back at once.
    assert all(item.retry_after <= 2 and item.second < 15 for item in truth.early)
