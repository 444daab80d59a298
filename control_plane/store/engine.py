"""The connections to a database: how many there are, and how long each may keep somebody waiting.

Before: `database`. Beside: `faults`, which tells what their errors mean.
"""

import time
from contextlib import suppress
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from modelplane.control_plane.store.faults import is_unwritable
from modelplane.control_plane.store.sqlite_driver import Begin, module

# Connections at rest, and those that a rush may open besides.
_POOL_SIZE = 10
_POOL_OVERFLOW = 10
# Whoever gets no connection within this time is told that the database does not answer.
POOL_SECONDS = 5.0
_CONNECT_SECONDS = 5
# After such a rest a connection is tried before somebody gets it.
_REST_SECONDS = 10.0
# Instructions of SQLite's machine between two looks at the clock: some milliseconds.
_LOOK_INSTRUCTIONS = 100_000


def async_url(url: str) -> str:
    """Return `url` with the asynchronous driver that this project uses.

    Raises:
        ValueError: The URL names another kind of database.
    """
    scheme, separator, rest = url.partition("://")
    match scheme.partition("+")[0]:
        case "sqlite":
            return f"sqlite+aiosqlite{separator}{rest}"
        case "postgresql" | "postgres":
            return f"postgresql+asyncpg{separator}{rest}"
        case _:
            raise ValueError(
                f"database URL must begin with sqlite:// or postgresql://, not {scheme}://"
            )


def create_engine(url: str, *, is_postgresql: bool) -> AsyncEngine:
    """Return the connections that all statements but those of reports share."""
    options: dict[str, Any] = {
        "pool_size": _POOL_SIZE,
        "max_overflow": _POOL_OVERFLOW,
        "pool_timeout": POOL_SECONDS,
    }
    return _engine(url, options, {}, is_postgresql=is_postgresql)


def create_report_engine(
    url: str, *, is_postgresql: bool, connections: int, seconds: float
) -> AsyncEngine:
    """Return connections of their own for reports, so that nothing else waits for these.

    Args:
        url: URL of the database.
        is_postgresql: Whether it is PostgreSQL.
        connections: How many reports are made at a time.
        seconds: When the database gives one up.
    """
    options: dict[str, Any] = {
        "pool_size": connections,
        "max_overflow": 0,
        "pool_timeout": POOL_SECONDS,
    }
    server = {
        "statement_timeout": str(int(seconds * 1000)),
        "default_transaction_read_only": "on",
    }
    if is_postgresql:
        # The statements of one report see the same, as they do in SQLite.
        options["isolation_level"] = "REPEATABLE READ"
    engine = _engine(url, options, server, is_postgresql=is_postgresql)
    if not is_postgresql:
        _limit_sqlite(engine, seconds)
    return engine


def _engine(
    url: str, options: dict[str, Any], server: dict[str, str], *, is_postgresql: bool
) -> AsyncEngine:
    if is_postgresql:
        arguments = {"timeout": _CONNECT_SECONDS, "server_settings": server}
        engine = create_async_engine(make_url(url), connect_args=arguments, **options)
        event.listen(engine.sync_engine, "checkin", _note_rest)
        event.listen(engine.sync_engine, "checkout", _replace_broken)
        return engine
    engine = create_async_engine(url, module=module(), **options)
    event.listen(engine.sync_engine, "connect", configure_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    event.listen(engine.sync_engine, "handle_error", _give_up_unwritable)
    return engine


def reading(engine: AsyncEngine, *, is_postgresql: bool) -> AsyncEngine:
    """Return the same connections for what only reads.

    PostgreSQL shows each statement what is committed by then, in a transaction or not: to begin one
    and to end it would take it two more answers.
    """
    return engine.execution_options(isolation_level="AUTOCOMMIT") if is_postgresql else engine


def _note_rest(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info["rests_since"] = time.monotonic()


def _replace_broken(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:  # noqa: ANN401 - driver's own type
    """Give nobody a connection that has ended meanwhile.

    Its socket tells, unless something on the way has dropped it in silence for its long rest: then
    the server is asked, which takes three answers of it.
    """
    rests_since = record.info.get("rests_since", float("inf"))
    try:
        if time.monotonic() - rests_since > _REST_SECONDS:
            connection.ping()
    except connection.dbapi.Error as error:
        raise DisconnectionError from error
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _limit_sqlite(engine: AsyncEngine, seconds: float) -> None:
    """Give up what takes longer than `seconds` since its connection was taken."""

    def watch(connection: Any, record: Any) -> None:  # noqa: ANN401 - driver's own types
        def is_overdue() -> bool:
            return bool(time.monotonic() > record.info["overdue_at"])

        connection.run_async(
            lambda driver: driver.set_progress_handler(is_overdue, _LOOK_INSTRUCTIONS)
        )

    def start(_connection: object, record: Any, _proxy: object) -> None:  # noqa: ANN401 - the same
        record.info["overdue_at"] = time.monotonic() + seconds

    def expect_nothing(_connection: object, record: Any) -> None:  # noqa: ANN401 - the same
        record.info["overdue_at"] = float("inf")

    # Before the first statement of a new connection, which sets it up.
    event.listen(engine.sync_engine, "connect", expect_nothing, insert=True)
    event.listen(engine.sync_engine, "connect", watch)
    event.listen(engine.sync_engine, "checkout", start)


def configure_sqlite(connection: Any, _record: object = None) -> None:  # noqa: ANN401 - driver's own type
    """Set up a new connection to SQLite."""
    # The driver's own transactions begin too late for BEGIN IMMEDIATE; `_begin_sqlite` begins them.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "busy_timeout=5000",
        # What was deleted is overwritten.
        "secure_delete=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _give_up_unwritable(context: ExceptionContext) -> None:
    """Open the files anew after an error of theirs: opened read-only, they would remain so."""
    if is_unwritable(context.original_exception):
        context.is_disconnect = True
        # A statement that somebody still holds, as a traceback does, keeps the closed connection
        # alive, and the lock of its transaction with it.
        if context.connection is not None:
            with suppress(Exception):
                context.connection.connection.rollback()


def _begin_sqlite(connection: Any) -> None:  # noqa: ANN401 - SQLAlchemy's event signature
    writes = connection.get_execution_options().get("modelplane_writes", False)
    connection.connection.dbapi_connection.begin(Begin.WRITE if writes else Begin.READ)
