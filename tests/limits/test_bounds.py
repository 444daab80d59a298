"""What callers can make the limits remember is bounded, on workers and at the control plane."""

from typing import Any

import pytest
from sqlalchemy import func
from sqlmodel import select

from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.tables import QuotaRow
from modelplane.data_plane.limits.quota_contact import WhenAway
from modelplane.data_plane.snapshots.callers import Principal
from tests.limits.simulation import Simulation, Worker, endpoint, simulation

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
LIMITED = [{"calls": 100, "key": "user"}, {"tokens": 100_000, "key": "user"}, {"calls": 10_000}]


async def call_as(world: Simulation, worker: Worker, limited: Any, number: int) -> None:
    """Let so many callers call once each."""
    for place in range(number):
        world.send(worker, limited, Principal(f"id-{place}", f"user-{place}"))
        if not place % 20:
            await world.run(0.05)
    await world.finish()


async def rows(database: Database) -> int:
    async with database.read() as session:
        return (await session.exec(select(func.count()).select_from(QuotaRow))).one()


async def test_a_worker_remembers_as_many_callers_as_is_said_and_each_keeps_its_limit(
    database: Database,
) -> None:
    limited = endpoint(ai_gateway=LIMITED)
    async with simulation(database, workers=0) as world:
        worker = world.start_worker("one", WhenAway.CONTINUE, 300.0, 20)
        await call_as(world, worker, limited, 200)
        # Three generations of plans, with two counters each, and that of all.
        assert len(worker.leases._counters) <= 3 * 20 * 2 + 1
        # Who was forgotten goes on where they were, since the control plane counts.
        first = Principal("id-0", "user-0")
        for _ in range(100):
            world.send(worker, limited, first)
            await world.run(0.01, step=0.01)
        await world.finish()
        assert world.admitted.total() == 200 + 99


async def test_who_calls_no_longer_is_forgotten_everywhere(database: Database) -> None:
    limited = endpoint(ai_gateway=LIMITED)
    async with simulation(database) as world:
        (worker,) = world.workers
        await call_as(world, worker, limited, 100)
        assert len(worker.leases._counters) == await rows(database) == 201
        for _ in range(13):
            await world.run(60, step=0.5)
            await call_as(world, worker, limited, 30)
        assert len(worker.leases._counters) == await rows(database) == 61
