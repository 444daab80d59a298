"""Limits while no control plane answers."""

from random import Random
from typing import Any

import pytest

from modelplane.control_plane.store.database import Database
from modelplane.data_plane.errors import LimitExceeded, LimitsUnavailable
from modelplane.data_plane.limits.admission import Unlimited
from modelplane.data_plane.limits.quota_contact import WhenAway
from tests.limits.simulation import Simulation, endpoint, simulation

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
LIMIT = 120


async def traffic(
    world: Simulation, shares: dict[int, float], seconds: float, limited: Any = None
) -> None:
    """Send queries each second to workers, by number."""
    limited = limited or endpoint(ai_gateway=[{"calls": LIMIT}])
    owed = dict.fromkeys(shares, 0.0)
    end = world.time.now + seconds
    while world.time.now < end - 1e-6:
        for number, rate in shares.items():
            owed[number] += rate * 0.1
            while owed[number] >= 1:
                owed[number] -= 1
                world.send(world.workers[number], limited)
        await world.run(0.1, step=0.1)
    await world.finish()


def lose(world: Simulation) -> None:
    world.network.down = set(range(len(world.network.planes)))


async def test_workers_go_on_with_what_they_had_and_together_stay_within_the_limit(
    database: Database,
) -> None:
    async with simulation(database, workers=3, seed=2) as world:
        world.limit = LIMIT
        # More than the limit, unevenly.
        shares = {0: 1.5, 1: 0.7, 2: 0.3}
        await traffic(world, shares, 150)
        lost_in = world.window
        lose(world)
        await traffic(world, shares, 240)
        away = [world.admitted[window] for window in range(lost_in + 1, world.window)]
        assert len(away) == 3
        assert all(LIMIT * 0.8 <= count <= LIMIT for count in away), away
        assert max(world.admitted.values()) <= LIMIT
        assert [worker.away for worker in world.workers] == [1, 1, 1]

        world.network.down = set()
        await traffic(world, shares, 130)
        assert max(world.admitted.values()) <= LIMIT
        assert [worker.away for worker in world.workers] == [0, 0, 0]
        assert world.admitted[world.window - 1] == LIMIT


@pytest.mark.parametrize("seed", range(4))
async def test_workers_that_notice_at_different_times_have_a_window_in_common(
    database: Database, seed: int
) -> None:
    random = Random(seed)
    async with simulation(database, workers=4, seed=seed) as world:
        world.limit = LIMIT
        for _ in range(6):
            # The traffic moves from worker to worker.
            shares = {number: random.choice([0, 0, 0.5, 3.0]) for number in range(4)}
            await traffic(world, shares, random.uniform(20, 50))
        lose(world)
        for _ in range(8):
            shares = {number: random.choice([0, 0.5, 3.0]) for number in range(4)}
            await traffic(world, shares, random.uniform(5, 50))
        assert max(world.admitted.values()) <= LIMIT


async def test_after_the_stated_time_limited_queries_are_refused(database: Database) -> None:
    async with simulation(database, workers=0) as world:
        worker = world.start_worker("one", WhenAway.CONTINUE, 100.0)
        await traffic(world, {0: 1.0}, 150)
        lose(world)
        lost_in = world.window
        await traffic(world, {0: 1.0}, 200)
        assert world.admitted[lost_in + 1] == 60
        error = await world.ask(worker, endpoint(ai_gateway=[{"calls": LIMIT}]))
        assert isinstance(error, LimitsUnavailable)
        assert isinstance(await world.ask(worker, endpoint()), Unlimited)


@pytest.mark.parametrize(
    ("policy", "expected"), [(WhenAway.REFUSE, LimitsUnavailable), (WhenAway.ALLOW, None)]
)
async def test_the_other_policies(
    database: Database, policy: WhenAway, expected: type[Exception] | None
) -> None:
    limited = endpoint(ai_gateway=[{"calls": 2, "tokens": 10_000}])
    async with simulation(database, workers=0) as world:
        worker = world.start_worker("one", policy)
        lose(world)
        for _ in range(5):
            answer = await world.ask(worker, limited)
            if expected is None:
                assert answer.allows(5_000)
            else:
                assert isinstance(answer, expected)
        world.network.down = set()
        await world.next_window()
        assert [isinstance(await world.ask(worker, limited), LimitExceeded) for _ in range(3)] == [
            False,
            False,
            True,
        ]


async def test_who_had_nothing_gets_nothing_and_is_told_that_it_is_not_known(
    database: Database,
) -> None:
    async with simulation(database, workers=2) as world:
        await traffic(world, {0: 1.0, 1: 2.0}, 1)
        await traffic(world, {0: 1.0}, 130)
        lose(world)
        # Idle, it notices by itself.
        await world.run(20)
        assert world.workers[1].away == 1
        error = await world.ask(world.workers[1], endpoint(ai_gateway=[{"calls": LIMIT}]))
        assert isinstance(error, LimitsUnavailable)


async def test_one_control_plane_of_two_is_enough(database: Database) -> None:
    async with simulation(database, workers=2, planes=2) as world:
        world.limit = LIMIT
        world.network.down = {0}
        await traffic(world, {0: 2.0, 1: 2.0}, 60)
        world.network.down = {1}
        await traffic(world, {0: 2.0, 1: 2.0}, 60)
        assert not world.unavailable
        assert list(world.admitted.values())[:2] == [LIMIT, LIMIT]
