"""Hints of other replicas are heard, and a process's own are not heard twice."""

import asyncio
from collections.abc import Callable

import asyncpg
import pytest

from modelplane.control_plane.store import notifications
from modelplane.control_plane.store.database import CHANNEL, MOVED, Database
from modelplane.control_plane.store.states import EventKind

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


async def test_a_commit_tells_who_made_it(database: Database) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    connection = await asyncpg.connect(database.url.replace("+asyncpg", ""))
    try:
        await connection.add_listener(CHANNEL, lambda *hint: told.put_nowait(hint[-1]))
        async with database.write() as transaction:
            await transaction.revise(EventKind.ENDPOINT, "a")
        async with asyncio.timeout(60):
            assert await told.get() == database.id
    finally:
        await connection.close()


async def test_only_others_are_heard(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    listening: asyncio.Queue[Callable[..., None]] = asyncio.Queue()

    class Connection:
        async def add_listener(self, _channel: str, listener: Callable[..., None]) -> None:
            listening.put_nowait(listener)

        async def execute(self, *_: object, **__: object) -> None:
            pass

        def terminate(self) -> None:
            pass

    async def connect(*_: object, **__: object) -> Connection:
        return Connection()

    monkeypatch.setattr(asyncpg, "connect", connect)
    heard: list[None] = []
    moved: list[None] = []
    listened = notifications.listen(
        database, [lambda: heard.append(None)], [lambda: moved.append(None)]
    )
    task = asyncio.create_task(listened)
    try:
        hint = await listening.get()
        # It looks once it listens: something may have come before.
        while not heard:
            await asyncio.sleep(0)
        for own in (database.id, f"{database.id} {MOVED}"):
            hint("connection", 1, CHANNEL, own)
        assert (len(heard), len(moved)) == (1, 0)
        # An older release does not say who it is.
        for other in ("other", ""):
            hint("connection", 1, CHANNEL, other)
        assert (len(heard), len(moved)) == (3, 0)
        hint("connection", 1, CHANNEL, f"other {MOVED}")
        assert (len(heard), len(moved)) == (3, 1)
    finally:
        task.cancel()
