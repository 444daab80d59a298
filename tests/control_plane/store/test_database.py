import asyncio
import contextlib
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from modelplane.control_plane.errors import ReportTooLong, StoreUnavailable, TooManyCalls
from modelplane.control_plane.store import database as database_module
from modelplane.control_plane.store import engine
from modelplane.control_plane.store.database import Database, Session
from modelplane.control_plane.store.events import read_events
from modelplane.control_plane.store.faults import is_conflict, is_outage
from modelplane.control_plane.store.states import EventKind
from tests.postgres import PostgresServer


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (asyncpg.exceptions.CannotConnectNowError("the database system is shutting down"), True),
        (asyncpg.exceptions.AdminShutdownError("terminating connection"), True),
        (asyncpg.exceptions.CrashShutdownError("terminating connection"), True),
        (asyncpg.exceptions.TooManyConnectionsError("too many clients already"), True),
        (asyncpg.exceptions.ConnectionDoesNotExistError("connection was closed"), True),
        (asyncpg.exceptions.UndefinedTableError("no such relation"), False),
        (asyncpg.exceptions.QueryCanceledError("canceled by the user"), False),
    ],
)
def test_what_the_server_says_tells_an_outage_from_a_bug(
    error: asyncpg.PostgresError,
    *,
    outage: bool,
) -> None:
    driver_error = AsyncAdapt_asyncpg_dbapi.Error(str(error), error)  # type: ignore[no-untyped-call]
    assert is_outage(DBAPIError("SELECT 1", {}, driver_error)) is outage


def test_a_transaction_that_another_one_was_in_the_way_of_can_be_tried_again() -> None:
    for error, found in (
        (asyncpg.exceptions.DeadlockDetectedError("deadlock detected"), True),
        (asyncpg.exceptions.SerializationError("could not serialize access"), True),
        (asyncpg.exceptions.UniqueViolationError("duplicate key"), False),
    ):
        driver_error = AsyncAdapt_asyncpg_dbapi.Error(str(error), error)  # type: ignore[no-untyped-call]
        assert is_conflict(DBAPIError("SELECT 1", {}, driver_error)) is found


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_who_is_given_up_as_two_wait_for_each_other_is_told_to_try_again(
    database: Database,
) -> None:
    async def both(first: str, second: str, other: asyncio.Event, mine: asyncio.Event) -> None:
        async with database.write() as transaction:
            connection = await transaction.session.connection()
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({first})"))
            mine.set()
            await other.wait()
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({second})"))

    one, two = asyncio.Event(), asyncio.Event()
    ended = await asyncio.gather(
        both("1", "2", two, one), both("2", "1", one, two), return_exceptions=True
    )
    [told] = [error for error in ended if error is not None]
    assert isinstance(told, StoreUnavailable)
    assert "at the same time" in str(told)


def test_an_unreachable_server_is_an_outage() -> None:
    assert is_outage(ConnectionRefusedError())
    assert is_outage(OperationalError("SELECT 1", {}, Exception("no such host")))
    assert is_outage(PoolTimeoutError("QueuePool limit of size 10 overflow 10 reached"))
    assert not is_outage(ValueError())


async def test_a_wrong_statement_is_no_outage(database: Database) -> None:
    with pytest.raises(DBAPIError, match="nothing_like_this"):
        async with database.read() as session:
            await (await session.connection()).execute(text("SELECT 1 FROM nothing_like_this"))


async def test_sessions_fail_clearly_while_the_server_is_away_and_work_again_after(
    postgres_server: PostgresServer,
) -> None:
    database = Database(postgres_server.url())
    try:
        await _ask(database)
        postgres_server.stop(kill=True)
        with pytest.raises(StoreUnavailable):
            await _ask(database)
        postgres_server.start()
        await _ask(database)
    finally:
        await database.aclose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_what_reads_from_postgresql_takes_it_one_answer(database: Database) -> None:
    await _ask(database)
    async with database.read() as session:
        connection = await _driver(session)
    said: list[str] = []
    connection.add_query_logger(lambda query: said.append(query.query))
    await _ask(database)
    # The driver tells of all but what is prepared, and a moment later.
    await asyncio.sleep(0)
    assert said == []
    async with database.write() as transaction:
        await (await transaction.session.connection()).execute(text("SELECT 1"))
    await asyncio.sleep(0)
    assert [query.split()[0] for query in said] == ["BEGIN", "COMMIT;"]


@pytest.mark.parametrize("rests", ["shortly", "long"])
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_nobody_gets_a_connection_that_has_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch, rests: str
) -> None:
    async with database.read() as session:
        connection = await _driver(session)
    if rests == "shortly":
        # As the server ends it, which its socket tells.
        await connection.close()
    else:
        # As something on the way drops it, which only a try tells.
        monkeypatch.setattr(engine, "_REST_SECONDS", -1.0)
        connection._transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
    await _ask(database)
    async with database.read() as session:
        assert await _driver(session) is not connection


async def _driver(session: Session) -> asyncpg.Connection:
    raw = await (await session.connection()).get_raw_connection()
    return raw.driver_connection


async def test_a_rush_for_connections_is_refused_as_an_outage(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database.engine.pool, "_timeout", 0.05)
    hold = asyncio.Event()
    asked = [asyncio.create_task(_ask(database, hold)) for _ in range(30)]
    done, holding = await asyncio.wait(asked, return_when=asyncio.FIRST_EXCEPTION)
    assert {type(task.exception()) for task in done} == {StoreUnavailable}
    hold.set()
    await asyncio.wait(holding)
    await _ask(database)


@pytest.fixture
def closed_directory() -> Iterator[Path]:
    """A directory that takes no file, from this process either."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o555)
        is_root = os.geteuid() == 0
        try:
            if is_root:
                os.seteuid(65534)
            yield directory
        finally:
            if is_root:
                os.seteuid(0)
            directory.chmod(0o755)


def _driver_threads() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if "_connection_worker_thread" in one.name}


async def test_a_directory_that_takes_no_database_is_told(closed_directory: Path) -> None:
    others = _driver_threads()
    async with aclosing(Database(f"sqlite:///{closed_directory / 'new.db'}")) as database:
        with pytest.raises(StoreUnavailable, match="cannot be written: its disk is full or read"):
            async with database.change_schema():
                pass
    # What is not there is not read-only.
    async with aclosing(Database(f"sqlite:///{closed_directory / 'none' / 'new.db'}")) as database:
        with pytest.raises(StoreUnavailable, match="does not answer"):
            async with database.change_schema():
                pass
    # A thread of the driver that could open nothing tells its loop, which has to be there still.
    async with asyncio.timeout(60):
        while _driver_threads() - others:
            await asyncio.sleep(0.01)


async def test_a_transaction_that_waits_for_too_long_is_given_up(database: Database) -> None:
    async with database.write() as transaction:
        await transaction.hold_revisions()
        with pytest.raises(StoreUnavailable):
            async with database.write(seconds=0.1) as other:
                await other.hold_revisions()
    async with database.write() as transaction:
        await transaction.hold_revisions()


async def test_many_changes_get_revisions_in_order_with_one_step_of_the_counter(
    database: Database,
) -> None:
    async with database.write() as transaction:
        first = await transaction.revise(EventKind.TOKEN, "a")
        last = await transaction.revise_all(EventKind.PRINCIPAL, ["b", "c", "d"])
        after = await transaction.revise(EventKind.TOKEN, "e")
    async with database.read() as session:
        events = await read_events(session, first - 1, after)
    assert [(event.revision - first, event.key) for event in events] == list(enumerate("abcde"))
    assert last == after - 1


async def test_reports_wait_for_each_other_and_nothing_waits_for_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_REPORT_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(database.engine.pool, "_timeout", 0.05)
    async with AsyncExitStack() as stack:
        for _ in range(database_module.MAX_REPORTS):
            session = await stack.enter_async_context(database.report())
            await (await session.connection()).execute(text("SELECT 1"))
        with pytest.raises(TooManyCalls, match="reports are being made"):
            async with database.report():
                raise AssertionError("a report too many")
        async with database.write() as transaction:
            await transaction.hold_revisions()
        await _ask(database)
    async with database.report() as session:
        await (await session.connection()).execute(text("SELECT 1"))


async def test_a_report_that_takes_too_long_is_given_up_in_the_database(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "REPORT_SECONDS", 0.2)
    endless = text(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT max(i) FROM n"
    )
    async with aclosing(Database(database_url)) as database:
        for _ in range(2):
            with pytest.raises(ReportTooLong, match="select a shorter time"):
                async with database.report() as session:
                    await (await session.connection()).execute(endless)
        async with database.report() as session:
            await (await session.connection()).execute(text("SELECT 1"))


async def test_a_server_that_says_nothing_is_away_and_is_back_when_it_speaks(
    postgres_server: PostgresServer,
) -> None:
    async with aclosing(Database(postgres_server.url(), seconds=0.5)) as database:
        await _answers(database)
        with postgres_server.frozen():
            asked = await asyncio.gather(
                *(_ask(database) for _ in range(40)), return_exceptions=True
            )
            assert {type(error) for error in asked} == {StoreUnavailable}
        await _answers(database)


async def _answers(database: Database) -> None:
    """Return once it answers in time, which a busy machine does not always let it."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(StoreUnavailable):
                return await _ask(database)


async def _ask(database: Database, hold: asyncio.Event | None = None) -> None:
    async with database.read() as session:
        await (await session.connection()).execute(text("SELECT 1"))
        if hold:
            await hold.wait()
