"""A control plane is killed amid changes: no change without its audit event, nor the reverse."""

import asyncio
import os
import signal
from pathlib import Path

import grpc
from modelserving.v1.secret_service_pb2 import CreateScopeRequest, DeleteScopeRequest
from modelserving.v1.secret_service_pb2_grpc import SecretServiceStub
from sqlmodel import col, select

from bench.children import child, free_address, python, wait_until_serving
from bench.system import ADMIN_TOKEN
from modelplane.adapters.shared.rpc.metadata import AUTHORIZATION
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.tables import AuditEventRow, SecretScopeRow
from tests.effort import times

KILLS = times(2, 10)
_ADMIN = ((AUTHORIZATION, f"Bearer {ADMIN_TOKEN}"),)


async def test_a_kill_separates_no_change_from_its_event(
    empty_database_url: str, tmp_path: Path
) -> None:
    url = empty_database_url
    answered: set[str] = set()
    for round_number in range(KILLS):
        answered |= await _change_until_killed(url, tmp_path, round_number)

    database = Database(url)
    try:
        async with database.read() as session:
            scopes = set((await session.exec(select(SecretScopeRow.name))).all())
            query = select(AuditEventRow).where(col(AuditEventRow.outcome) == "OK")
            events = (await session.exec(query)).all()
    finally:
        await database.aclose()
    made = [event.object_name for event in events if event.action == "CreateScope"]
    deleted = [event.object_name for event in events if event.action == "DeleteScope"]
    assert len(made) == len(set(made))
    assert scopes == set(made) - set(deleted)
    # What was answered is there, and some of what was under way may be.
    assert answered <= set(made)
    assert len(answered) > KILLS


async def _change_until_killed(url: str, directory: Path, round_number: int) -> set[str]:
    """Make and delete scopes, many at a time; return those whose making was answered."""
    api = free_address()
    settings = {
        "MODELPLANE_DATA_DIR": str(directory),
        "MODELPLANE_DATABASE_URL": url,
        "MODELPLANE_ADMIN_TOKEN": ADMIN_TOKEN,
        "MODELPLANE_CONTROL_PLANE_LISTEN": api,
        "MODELPLANE_SNAPSHOT_LISTEN": free_address(),
        "MODELPLANE_CONTROL_PLANE_METRICS_LISTEN": free_address(),
    }
    answered: set[str] = set()
    async with child(
        *python("modelplane.control_plane"), settings=settings, directory=directory
    ) as started:
        await wait_until_serving(api, started)
        async with grpc.aio.insecure_channel(api) as channel:
            stub = SecretServiceStub(channel)

            async def work(worker: int) -> None:
                for number in range(1000):
                    name = f"r{round_number}-{worker}-{number}"
                    await stub.CreateScope(CreateScopeRequest(scope=name), metadata=_ADMIN)
                    answered.add(name)
                    if len(answered) == 10 * (round_number + 1):
                        os.kill(started.pid, signal.SIGKILL)
                    if number % 2:
                        await stub.DeleteScope(DeleteScopeRequest(scope=name), metadata=_ADMIN)

            ended = await asyncio.gather(*map(work, range(8)), return_exceptions=True)
        assert all(isinstance(one, grpc.aio.AioRpcError) for one in ended), ended
    return answered
