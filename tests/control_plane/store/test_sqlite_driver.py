import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from modelplane.control_plane.store.database import Database, Session


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def stored(path: Path) -> AsyncIterator[Database]:
    async with aclosing(Database(f"sqlite:///{path}")) as database:
        async with database.write() as transaction:
            await _run(transaction.session, "CREATE TABLE kept (id INTEGER PRIMARY KEY, of TEXT)")
        yield database


async def test_a_statement_is_one_visit_to_the_drivers_thread(stored: Database) -> None:
    async with stored.read() as session:
        with _visits(await _driver(session)) as visits:
            assert await _run(session, "SELECT 1 AS one, 'a' AS of") == [(1, "a")]
            assert visits == ["_run"]
            await _run(session, "SELECT 2")
            await session.close()
    # Nobody waits for the last.
    assert visits == ["_run", "_run", "rollback"]


async def test_a_transaction_that_writes_visits_once_more_to_commit(stored: Database) -> None:
    async with stored.write() as transaction:
        with _visits(await _driver(transaction.session)) as visits:
            await _run(transaction.session, "INSERT INTO kept (of) VALUES ('a')")
            await transaction.session.commit()
    assert visits == ["_run", "commit"]


async def test_a_transaction_without_a_statement_visits_nothing(stored: Database) -> None:
    async with stored.engine.connect() as connection:
        raw: Any = await connection.get_raw_connection()
        with _visits(raw.driver_connection) as visits:
            await connection.begin()
            await connection.commit()
            await connection.begin()
            await connection.rollback()
    assert visits == []


async def test_what_a_statement_left_is_told(stored: Database) -> None:
    async with stored.write() as transaction:
        session = transaction.session
        made = await session.exec(text("INSERT INTO kept (of) VALUES ('a'), ('b')"))  # type: ignore[call-overload]
        assert (made.rowcount, made.lastrowid, made.returns_rows) == (2, 2, False)
        rows = [{"of": "c"}, {"of": "d"}, {"of": "e"}]
        many = await session.exec(text("INSERT INTO kept (of) VALUES (:of)"), params=rows)  # type: ignore[call-overload]
        assert many.rowcount == len(rows)
        found = await session.exec(text("UPDATE kept SET of = 'z' WHERE id > 3 RETURNING id, of"))  # type: ignore[call-overload]
        assert list(found.keys()) == ["id", "of"]
        assert found.first() == (4, "z")


async def test_a_reader_sees_one_state_until_it_ends(stored: Database) -> None:
    async with stored.read() as session:
        assert await _run(session, "SELECT count(*) FROM kept") == [(0,)]
        async with stored.write() as transaction:
            await _run(transaction.session, "INSERT INTO kept (of) VALUES ('a')")
        assert await _run(session, "SELECT count(*) FROM kept") == [(0,)]
    async with stored.read() as session:
        assert await _run(session, "SELECT count(*) FROM kept") == [(1,)]


async def test_a_writer_keeps_others_from_writing_from_its_first_statement_on(
    stored: Database, path: Path
) -> None:
    with sqlite3.connect(path, timeout=0) as other:
        async with stored.write() as transaction:
            await _run(transaction.session, "SELECT * FROM kept")
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("INSERT INTO kept (of) VALUES ('b')")
    other.close()


async def test_who_finds_another_writer_is_told_and_can_go_on(stored: Database, path: Path) -> None:
    async with stored.engine.connect() as connection:
        await connection.exec_driver_sql("PRAGMA busy_timeout=0")
        await connection.rollback()
        writing = await connection.execution_options(modelplane_writes=True)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="locked"):
            await writing.execute(text("INSERT INTO kept (of) VALUES ('a')"))
        await writing.rollback()
        other.close()
        await writing.execute(text("INSERT INTO kept (of) VALUES ('a')"))
        await writing.commit()
    async with stored.read() as session:
        assert await _run(session, "SELECT of FROM kept") == [("a",)]


async def test_a_reader_that_has_ended_holds_up_nothing(stored: Database, path: Path) -> None:
    async with stored.write() as transaction:
        await _run(transaction.session, "INSERT INTO kept (of) VALUES ('a')")
    async with stored.read() as session:
        await _run(session, "SELECT * FROM kept")
        raw = await _driver(session)
    # What comes to its thread next comes after its end.
    await raw._execute(lambda: None)
    with sqlite3.connect(path) as other:
        busy, *_ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    other.close()
    assert busy == 0


async def test_a_writer_that_is_cancelled_in_a_statement_changes_nothing(stored: Database) -> None:
    async def write() -> None:
        async with stored.write() as transaction:
            await _run(transaction.session, "INSERT INTO kept (of) VALUES ('a')")
            raw = await _driver(transaction.session)
            # The statement waits its turn in the thread for as long.
            raw._tx.put_nowait((None, turn.wait))
            waits.set()
            await _run(transaction.session, "INSERT INTO kept (of) VALUES ('b')")

    waits, turn = asyncio.Event(), threading.Event()
    task = asyncio.create_task(write())
    await waits.wait()
    await asyncio.sleep(0)
    task.cancel()
    turn.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with stored.write() as transaction:
        assert await _run(transaction.session, "SELECT * FROM kept") == []
        await _run(transaction.session, "INSERT INTO kept (of) VALUES ('c')")
    async with stored.read() as session:
        assert await _run(session, "SELECT of FROM kept") == [("c",)]


async def _run(session: Session, statement: str) -> list[Any]:
    found = await session.exec(text(statement))  # type: ignore[call-overload]
    return [tuple(row) for row in found.all()] if found.returns_rows else []


async def _driver(session: Session) -> Any:
    raw: Any = await (await session.connection()).get_raw_connection()
    return raw.driver_connection


@contextmanager
def _visits(driver: Any) -> Iterator[list[str]]:
    """Yield the names of what is done in the driver's thread."""
    visits: list[str] = []
    queue = driver._tx

    class _Watched:
        def put_nowait(self, visit: tuple[Any, Any]) -> None:
            function = getattr(visit[1], "func", visit[1])
            visits.append(function.__name__)
            queue.put_nowait(visit)

    driver._tx = _Watched()
    try:
        yield visits
    finally:
        driver._tx = queue
