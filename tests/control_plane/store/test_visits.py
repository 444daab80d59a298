"""Short transactions on SQLite that take one visit to a thread."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from pathlib import Path
from threading import Event

import pytest

from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.store.database import Database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "visits.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE seen (number INTEGER)")
    return path


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    async with aclosing(Database(f"sqlite:///{path}")) as database:
        yield database


def add(connection: sqlite3.Connection) -> int:
    connection.execute("INSERT INTO seen VALUES (1)")
    (number,) = connection.execute("SELECT count(*) FROM seen").fetchone()
    return int(number)


def stored(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM seen").fetchone()[0])


async def test_what_is_done_is_there_afterwards(database: Database, path: Path) -> None:
    assert [await database.visit(lambda: add), await database.visit(lambda: add)] == [1, 2]
    assert stored(path) == 2


async def test_an_error_takes_it_back_and_the_next_visit_goes_on(
    database: Database, path: Path
) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        add(connection)
        raise OverflowError

    with pytest.raises(OverflowError):
        await database.visit(lambda: fail)
    assert stored(path) == 0
    assert await database.visit(lambda: add) == 1


@pytest.mark.usefixtures("path")
async def test_an_error_of_the_database_is_told_as_everywhere(database: Database) -> None:
    def refuse(_connection: sqlite3.Connection) -> None:
        error = sqlite3.OperationalError("attempt to write a readonly database")
        error.sqlite_errorcode = sqlite3.SQLITE_READONLY
        raise error

    with pytest.raises(StoreUnavailable, match="disk is full or read-only"):
        await database.visit(lambda: refuse)
    assert database.is_unwritable
    assert await database.visit(lambda: add) == 1


async def test_who_gives_up_takes_it_back_before_going(database: Database, path: Path) -> None:
    begun, goes_on = Event(), Event()

    def work(connection: sqlite3.Connection) -> None:
        add(connection)
        begun.set()
        goes_on.wait()

    visit = asyncio.create_task(database.visit(lambda: work))
    await asyncio.to_thread(begun.wait)
    visit.cancel()
    # It is told so, and waits for the thread.
    await asyncio.sleep(0)
    assert not visit.done()
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await visit
    assert stored(path) == 0
    assert await database.visit(lambda: add) == 1
