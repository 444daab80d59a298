"""Who reports of a group and who ends it wait for each other in turn, and never both."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text

from modelplane.control_plane.store.database import Database, Transaction
from modelplane.control_plane.store.endpoints import changes, records, rollouts
from modelplane.control_plane.store.endpoints.rollouts import RolloutState
from modelplane.control_plane.store.hosting import groups
from modelplane.control_plane.store.states import Phase
from tests.control_plane.configs import hosted_model, hosting_version, new_endpoint

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
_WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted")


async def fail(transaction: Transaction) -> None:
    assert await rollouts.fail(transaction, RolloutState("e", 1, Phase.PREPARING, 1), "no", 1)


async def cancel(transaction: Transaction) -> None:
    record = await records.find(transaction.session, "name-e")
    assert record
    await changes.cancel_rollout(transaction, record, 1)


async def stop(transaction: Transaction) -> None:
    await changes.stop(transaction, "e")


async def somebody_waits(database: Database) -> None:
    async with asyncio.timeout(60):
        while True:
            async with database.read() as session:
                if (await (await session.connection()).execute(_WAITING)).scalar_one():
                    return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("change", [fail, cancel, stop])
async def test_a_report_and_an_end(
    database: Database, change: Callable[[Transaction], Awaitable[None]]
) -> None:
    async with database.write() as transaction:
        await changes.insert(transaction, new_endpoint("e"))
        await changes.begin_rollout(transaction, "e", hosting_version(1, hosted_model("a")))

    async def end() -> None:
        async with database.write() as transaction:
            await change(transaction)

    async with asyncio.TaskGroup() as tasks, database.write() as transaction:
        found = await groups.lock(transaction, ["group-a"])
        tasks.create_task(end())
        await somebody_waits(database)
        await groups.tell(transaction, found)
