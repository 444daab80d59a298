"""Who is refused, after how long, and when they are told to come back."""

import asyncio
from typing import Any

import pytest

from modelplane.adapters.providers.types import Query, Usage
from modelplane.control_plane.store.database import Database
from modelplane.data_plane.errors import LimitExceeded
from modelplane.data_plane.limits.admission import Ending
from modelplane.data_plane.snapshots.limits import Scope, Unit
from tests.limits.simulation import Simulation, Worker, endpoint, simulation

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ASK = Query({"messages": [{"role": "user", "content": ""}]}, stream=False)


async def answer(world: Simulation, worker: Worker, limited: Any, tokens: int) -> None:
    """Have a query admitted and answered."""
    admission = await world.ask(worker, limited, query=ASK)
    admission.settle(Usage(4, tokens - 4), Ending.ANSWERED)
    await world.run(0.2)


async def ask_all(world: Simulation, limited: Any, number: int) -> list[Any]:
    """Ask so many times at once, and return what came of it so far."""
    tasks = [world.send(world.workers[0], limited, query=ASK) for _ in range(number)]
    await world.run(0.2)
    return tasks


async def test_whoever_is_refused_may_come_back_when_they_were_told(database: Database) -> None:
    limited = endpoint(ai_gateway=[{"tokens": 300}])
    async with simulation(database, workers=2) as world:
        first, second = world.workers
        await answer(world, first, limited, 1_000)
        # This minute and the next two pay for it; a third of the one after, too.
        refused = await world.ask(second, limited, query=ASK)
        assert isinstance(refused, LimitExceeded)
        assert 60 * 3 < refused.retry_after + world.time.now % 60 <= 60 * 3 + 1
        assert f"try again in {refused.retry_after} seconds" in str(refused)
        await world.run(refused.retry_after - 62, step=0.5)
        early = await world.ask(second, limited, query=ASK)
        assert isinstance(early, LimitExceeded)
        assert 60 <= early.retry_after <= 63
        await world.run(early.retry_after, step=0.5)
        assert not isinstance(await world.ask(second, limited, query=ASK), LimitExceeded)


async def test_a_window_that_is_used_up_says_when_the_next_one_begins(database: Database) -> None:
    limited = endpoint(ai_gateway=[{"tokens": 100}])
    async with simulation(database) as world:
        world.time.now += 13
        await answer(world, world.workers[0], limited, 100)
        refused = await world.ask(world.workers[0], limited, query=ASK)
        assert refused.retry_after == 47


async def test_each_refusal_is_told_with_its_endpoint_and_limit(database: Database) -> None:
    limited = endpoint(ai_gateway=[{"tokens": 100}, {"key": "user", "calls": 1}])
    async with simulation(database) as world:
        [worker] = world.workers
        await answer(world, worker, limited, 50)
        assert worker.refused == []
        for _ in range(2):
            assert isinstance(await world.ask(worker, limited, query=ASK), LimitExceeded)
        told = [(of, rule.scope, rule.unit, rule.limit) for of, rule in worker.refused]
        assert told == [(limited.id, Scope.USER, Unit.REQUESTS, 1)] * 2


async def test_queries_wait_for_what_those_under_way_may_not_use(database: Database) -> None:
    limited = endpoint(ai_gateway=[{"tokens": 400}])
    async with simulation(database) as world:
        # Before any answer was seen, an eighth of the limit is likely.
        tasks = await ask_all(world, limited, 20)
        admitted = [task for task in tasks if task.done()]
        assert len(admitted) == 8
        for task in admitted:
            task.result().settle(Usage(4, 6), Ending.ANSWERED)
        await world.run(0.5)
        assert world.admitted.total() == 20


async def test_they_wait_two_seconds_and_may_come_back_soon(database: Database) -> None:
    limited = endpoint(ai_gateway=[{"tokens": 400}])
    async with simulation(database) as world:
        await ask_all(world, limited, 8)
        before = world.time.now
        refused = await world.ask(world.workers[0], limited, query=ASK)
        assert isinstance(refused, LimitExceeded)
        assert 2 <= world.time.now - before <= 2.3
        assert refused.retry_after == 2


async def test_no_more_wait_than_may_be_left(database: Database) -> None:
    limited = endpoint(ai_gateway=[{"tokens": 400}])
    async with simulation(database) as world:
        for _ in range(10):
            await answer(world, world.workers[0], limited, 20)
        # 200 are left: 10 go on, and of 30 more no more wait than those could leave room for.
        tasks = await ask_all(world, limited, 40)
        assert world.admitted.total() == 10
        assert 15 <= world.refused.total() <= 22
        for task in tasks:
            if task.done() and task.result() is not None:
                task.result().settle(Usage(4, 16), Ending.ANSWERED)
        await world.run(1)
        assert world.refused.total() == 30


async def test_a_query_that_waits_and_is_given_up_leaves_nothing(database: Database) -> None:
    limited = endpoint(ai_gateway=[{"tokens": 400, "key": "user"}, {"tokens": 400}])
    async with simulation(database) as world:
        (worker,) = world.workers
        await ask_all(world, limited, 8)
        (task,) = await ask_all(world, limited, 1)
        await world.run(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert [counter.patient for counter in worker.leases._counters.values()] == [0, 0]


async def test_requests_do_not_wait(database: Database) -> None:
    limited = endpoint(ai_gateway=[{"calls": 1}])
    async with simulation(database, workers=2) as world:
        await world.ask(world.workers[0], limited)
        before = world.time.now
        refused = await world.ask(world.workers[1], limited)
        assert isinstance(refused, LimitExceeded)
        assert world.time.now - before < 0.1
