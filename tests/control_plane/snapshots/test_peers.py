"""Replicas on one PostgreSQL wake each other for what is new, not for a sign of life."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy import event
from sqlmodel import select

from modelplane.control_plane.snapshots import peers as module
from modelplane.control_plane.snapshots.peers import PostgresqlPeers
from modelplane.control_plane.snapshots.watchers import Watcher
from modelplane.control_plane.store.database import CHANNEL, MOVED
from modelplane.control_plane.store.tables import ReplicaRow
from tests.control_plane.snapshots.conftest import PushSide, eventually

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@asynccontextmanager
async def telling(side: PushSide) -> AsyncIterator[PostgresqlPeers]:
    """Let another replica tell of the workers."""
    peers = PostgresqlPeers("me", side.database, side.cache, side.watchers)
    running = asyncio.create_task(peers.run())
    try:
        yield peers
    finally:
        running.cancel()
        await asyncio.wait([running])


async def seen(side: PushSide) -> int:
    async with side.database.read() as session:
        query = select(ReplicaRow.seen_ms).where(ReplicaRow.id == "me")
        return (await session.exec(query)).first() or 0


async def live_on(side: PushSide) -> None:
    """Return once it has told that it lives for a while longer."""
    before = await seen(side)
    async with asyncio.timeout(60):
        while await seen(side) < before + 100:
            await asyncio.sleep(0.01)


async def test_a_sign_of_life_wakes_nobody(side: PushSide, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PUBLISH_SECONDS", 0.01)
    hints = 0

    def count(moved: bool) -> None:  # noqa: FBT001 - of a hint
        nonlocal hints
        hints += moved

    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1

    side.database.on_commit(look)
    connection = await asyncpg.connect(side.database.url.replace("+asyncpg", ""))
    try:
        await connection.add_listener(CHANNEL, lambda *told: count(told[-1].endswith(f" {MOVED}")))
        async with telling(side) as peers:
            # What both say first is news.
            for one in peers, side.rollout.peers:
                assert isinstance(one, PostgresqlPeers)
                one.hint()
            await eventually(lambda: hints == 2)
            await live_on(side)
            assert hints == 2
            side.watchers.add(Watcher("w", "test", 5))
            peers.hint()
            await eventually(lambda: hints > 2)
    finally:
        await connection.close()
    # Nor does news of workers let anybody look for changes of anything else.
    assert looks == 0


async def test_much_to_look_at_keeps_nobody_from_telling_that_it_lives(
    side: PushSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PUBLISH_SECONDS", 0.2)

    async def keep_hinting(peers: PostgresqlPeers) -> None:
        while True:
            peers.hint()
            await asyncio.sleep(0)

    async with telling(side) as peers:
        await live_on(side)
        busy = asyncio.create_task(keep_hinting(peers))
        await live_on(side)
        busy.cancel()


async def test_a_look_at_the_others_does_not_read_their_workers(side: PushSide) -> None:
    """There are many, and each step of a rollout looks."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    peers = PostgresqlPeers("me", side.database, side.cache, side.watchers)
    event.listen(side.database.engine.sync_engine, "before_cursor_execute", note)
    try:
        await peers.others()
    finally:
        event.remove(side.database.engine.sync_engine, "before_cursor_execute", note)
    asked = [statement for statement in statements if "FROM replica" in statement]
    assert asked
    assert not any("connected" in statement for statement in asked)
