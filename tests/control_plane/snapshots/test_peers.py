"""Replicas on one PostgreSQL wake each other for what is new, not for a sign of life."""

import asyncio

import pytest
from sqlmodel import select

from modelplane.control_plane.snapshots import peers as module
from modelplane.control_plane.snapshots.peers import PostgresqlPeers
from modelplane.control_plane.snapshots.watchers import Watcher
from modelplane.control_plane.store.tables import ReplicaRow
from tests.control_plane.snapshots.conftest import PushSide, eventually


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_sign_of_life_wakes_nobody(side: PushSide, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PUBLISH_SECONDS", 0.01)
    peers = PostgresqlPeers("me", side.database, side.cache, side.watchers)
    running = asyncio.create_task(peers.run())
    hints = 0

    def count() -> None:
        nonlocal hints
        hints += 1

    async def seen() -> int:
        async with side.database.read() as session:
            query = select(ReplicaRow.seen_ms).where(ReplicaRow.id == "me")
            return (await session.exec(query)).first() or 0

    async def keep_hinting() -> None:
        while True:
            peers.hint()
            await asyncio.sleep(0)

    async def live_on() -> None:
        before = await seen()
        async with asyncio.timeout(10):
            while await seen() < before + 100:
                await asyncio.sleep(0.01)

    await live_on()
    side.database.on_commit(count)
    await live_on()
    # Nor is it kept from it by others that have much to tell.
    monkeypatch.setattr(module, "_PUBLISH_SECONDS", 0.2)
    busy = asyncio.create_task(keep_hinting())
    await live_on()
    busy.cancel()
    assert hints == 0
    side.watchers.add(Watcher("w", "test", 5))
    peers.hint()
    await eventually(lambda: hints > 0)
    running.cancel()
