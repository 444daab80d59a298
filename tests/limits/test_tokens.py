"""Limits on tokens across workers: reserved before, settled afterwards."""

import asyncio
from typing import Any

import pytest

from modelplane.adapters.providers.types import Query, Usage
from modelplane.control_plane.store.database import Database
from modelplane.data_plane.errors import LimitExceeded
from modelplane.data_plane.limits.admission import Ending
from tests.limits.simulation import ALICE, Simulation, Worker, endpoint, simulation

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def query(prompt_tokens: int = 10, **fields: Any) -> Query:
    text = "x" * ((prompt_tokens - 4) * 4)
    return Query({"messages": [{"content": text}], **fields}, stream=True)


async def left(world: Simulation, worker: Worker, limited: Any) -> int:
    """Return how many more tokens there are in this window, and take them."""
    counter, taken = worker.leases.counter(limited.limits.rules(ALICE)[0][0]), 0
    for size in (512, 64, 8, 1):
        amount = None
        while amount != 0:
            task = asyncio.create_task(worker.leases.obtain(counter, size))
            while not task.done():
                await world.run(0.01)
            amount = task.result() or 0
            taken += amount
        # What was found exhausted is asked for again after a second.
        await world.run(1.1)
    return taken


@pytest.mark.parametrize(
    ("usage", "ending", "used"),
    [
        (Usage(20, 30), Ending.ANSWERED, 50),
        (Usage(20, None), Ending.ANSWERED, 20 + 90),
        (Usage(None, 5), Ending.CANCELLED, 10 + 5),
        # The provider does not count: nothing is given back.
        (None, Ending.ANSWERED, 100),
        (None, Ending.CANCELLED, 10),
        (None, Ending.FAILED, 0),
        (Usage(100, 300), Ending.ANSWERED, 400),
    ],
)
async def test_what_was_reserved_is_settled_on_what_was_used(
    database: Database, usage: Usage | None, ending: Ending, used: int
) -> None:
    limited = endpoint(ai_gateway=[{"tokens": 1_000}])
    async with simulation(database) as world:
        (worker,) = world.workers
        admission = await world.ask(worker, limited, query=query(max_tokens=90))
        assert admission.reserved == 100
        admission.settle(usage, ending)
        await world.run(0.5)
        assert await left(world, worker, limited) == 1_000 - used


async def test_what_was_used_beyond_the_limit_is_taken_from_the_next_window(
    database: Database,
) -> None:
    limited = endpoint(ai_gateway=[{"tokens": 1_000}])
    async with simulation(database) as world:
        (worker,) = world.workers
        admission = await world.ask(worker, limited, query=query(max_tokens=90))
        admission.settle(Usage(10, 1_190), Ending.ANSWERED)
        await world.run(0.5)
        assert await left(world, worker, limited) == 0
        await world.next_window()
        assert await left(world, worker, limited) == 800
        await world.next_window()
        assert await left(world, worker, limited) == 1_000


async def test_a_surplus_of_an_old_window_is_void(database: Database) -> None:
    limited = endpoint(ai_gateway=[{"tokens": 100}])
    async with simulation(database) as world:
        (worker,) = world.workers
        admission = await world.ask(worker, limited, query=query(max_tokens=90))
        await world.next_window()
        assert await left(world, worker, limited) == 100
        admission.settle(Usage(10, 10), Ending.ANSWERED)
        await world.run(1.1)
        assert await left(world, worker, limited) == 0


async def test_a_prompt_that_never_fits_is_refused_and_says_so(database: Database) -> None:
    limited = endpoint(ai_gateway=[{"tokens": 100}])
    async with simulation(database) as world:
        error = await world.ask(world.workers[0], limited, query=query(prompt_tokens=101))
        assert isinstance(error, LimitExceeded)
        assert "a prompt of about 101 tokens never fits into 100 tokens a minute" in str(error)
        # An answer that would not fit is bounded by what a window has.
        admission = await world.ask(
            world.workers[0], limited, query=query(prompt_tokens=95, max_tokens=500)
        )
        assert admission.reserved == 100


async def test_a_stream_takes_more_as_it_goes_until_the_limit_is_used_up(
    database: Database,
) -> None:
    limited = endpoint(ai_gateway=[{"tokens": 2_000}])
    async with simulation(database, workers=2) as world:
        first, second = world.workers
        admission = await world.ask(first, limited, query=query())
        assert admission.reserved == 10 + 2_000 // 8
        assert admission.counts_output
        await world.ask(second, limited, query=query(max_tokens=190))
        output = 0
        while admission.allows(output):
            output += 10
            await world.run(0.05)
        # 200 are the other worker's, 10 the prompt's.
        assert 1_790 <= output <= 1_800
        admission.settle(None, Ending.ANSWERED)
        await world.next_window()
        assert await left(world, second, limited) == 2_000 - (10 + output - 1_800)


async def test_a_stream_with_a_bound_that_is_reserved_is_not_cut(database: Database) -> None:
    limited = endpoint(ai_gateway=[{"tokens": 1_000}])
    async with simulation(database) as world:
        admission = await world.ask(world.workers[0], limited, query=query(max_tokens=100))
        # The estimate may be wrong; the provider knows better where to end.
        assert admission.allows(150)
        admission.settle(Usage(10, 100), Ending.ANSWERED)
