"""One database: SQLite or PostgreSQL, its transactions, and revisions ordered by commit.

Neighbours: `tables` (what is stored), `migrate` (how it came to be), `*_store` (the statements).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from sqlite3 import SQLITE_CORRUPT, SQLITE_ERROR, SQLITE_NOTADB
from typing import Any, Protocol

from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.store.states import EventKind
from modelplane.control_plane.store.tables import EventRow, RevisionRow

# PostgreSQL channel on which a commit hints at new events.
CHANNEL = "modelplane_events"

# The lower bits of SQLite's error codes; the others say more.
_PRIMARY_CODE = 0xFF
# SQLSTATE: damaged data or indexes.
_DAMAGE_STATES = ("XX001", "XX002")
# Classes of SQLSTATE: no such user or a wrong password, and no such database.
_ACCESS_STATES = ("28", "3D")
# Classes of SQLSTATE: connection lost, out of resources (connections among them), and the operator
# or a crash ending the server, which is also what one that starts up says.
_OUTAGE_STATES = ("08", "53", "57P")


class DatabaseUnusable(RuntimeError):
    """The database is damaged, of another release, or none; the message is for the operator."""


class Session(AsyncSession):
    """What statements run in; only the modules of `store` know which."""


class Transaction:
    """A write: statements through `session`, and revisions for what workers must learn of.

    In an RPC, the transaction has a companion beside the code that asked for it: the RPC's event in
    the audit log, which is committed with the change or not at all (`current_companion`).
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        # Whether the commit is worth a hint to the other replicas.
        self.hint = False

    async def revise(self, kind: EventKind, key: str) -> int:
        """Record a change of `key` and return its revision.

        The counter's row stays locked until the commit, so a reader that has seen revision n has
        seen every revision below it. Call it late: other writers wait from here on.
        """
        counter = (
            update(RevisionRow)
            .values(revision=col(RevisionRow.revision) + 1)
            .returning(col(RevisionRow.revision))
        )
        revision = int((await self.session.exec(counter)).scalar_one())
        self.session.add(EventRow(revision=revision, kind=kind, key=key))
        self.hint = True
        return revision

    async def hold_revisions(self) -> None:
        """Keep others from making a revision until this transaction ends.

        Whatever commits with an older revision can be read after this.
        """
        await self.session.exec(select(RevisionRow).with_for_update())


class Companion(Protocol):
    """Goes with every transaction of an RPC."""

    async def join(self, transaction: Transaction) -> None:
        """Add what is to be committed with the change, or not at all."""

    def committed(self) -> None:
        """Learn that it was."""


# Of the RPC that runs in this context.
current_companion: ContextVar[Companion | None] = ContextVar("current_companion", default=None)


class Database:
    """Gives out sessions and tells listeners about commits."""

    def __init__(self, url: str) -> None:
        self.url = async_url(url)
        self.is_postgresql = self.url.startswith("postgresql")
        self.engine = _create_engine(self.url, is_postgresql=self.is_postgresql)
        # SQLite has one writer at a time: waiting here is cheaper than its busy loop.
        self._writer = asyncio.Lock()
        self._listeners: list[Callable[[], None]] = []

    @property
    def place(self) -> str:
        """Where the database is, without a password."""
        url = self.engine.url
        if self.is_postgresql:
            return url.set(drivername="postgresql").render_as_string(hide_password=True)
        return url.database or "in memory"

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each commit of this process that is worth a hint."""
        self._listeners.append(listener)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Session]:
        """Yield a session for reading.

        Raises:
            StoreUnavailable: The database does not answer.
            DatabaseUnusable: It is damaged.
        """
        with self._translated_errors():
            async with Session(self.engine, expire_on_commit=False) as session:
                yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """Yield a transaction that is committed at the end, or rolled back by an error.

        Raises:
            StoreUnavailable: The database does not answer; nothing was changed unless the
                connection broke during the commit itself.
            DatabaseUnusable: The database is damaged.
        """
        companion = current_companion.get()
        with self._translated_errors():
            async with self._exclusive(), self._session() as session:
                transaction = Transaction(session)
                async with session.begin():
                    yield transaction
                    if companion:
                        await companion.join(transaction)
                    if transaction.hint and self.is_postgresql:
                        notify = text("SELECT pg_notify(:channel, '')")
                        await session.exec(notify, params={"channel": CHANNEL})  # type: ignore[call-overload]
        if companion:
            companion.committed()
        if transaction.hint:
            for listener in self._listeners:
                listener()

    @asynccontextmanager
    async def change_schema(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection that changes tables in a transaction; an error takes all of it back.

        Raises:
            StoreUnavailable: The database does not answer.
            DatabaseUnusable: It is damaged.
        """
        with self._translated_errors():
            async with self.engine.connect() as connection:
                writing = await connection.execution_options(modelplane_writes=True)
                async with writing.begin():
                    yield writing

    async def aclose(self) -> None:
        """Close all connections."""
        await self.engine.dispose()

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, OSError) as error:
            if remedy := remedy_for(error):
                reason = getattr(error, "orig", error)
                raise DatabaseUnusable(
                    f"The database {self.place} cannot be used: {reason}. {remedy}"
                ) from error
            if is_outage(error):
                raise StoreUnavailable("The database does not answer; please retry.") from error
            raise

    @asynccontextmanager
    async def _exclusive(self) -> AsyncIterator[None]:
        if self.is_postgresql:
            yield
        else:
            async with self._writer:
                yield

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Session]:
        async with self.engine.connect() as connection:
            writing = await connection.execution_options(modelplane_writes=True)
            async with Session(writing, expire_on_commit=False) as session:
                yield session


@asynccontextmanager
async def existing_database(url: str) -> AsyncIterator[Database]:
    """Yield a database that is there; on leaving, close it.

    Raises:
        ValueError: There is no such file, which SQLite would make.
    """
    async with aclosing(Database(url)) as database:
        if not database.is_postgresql and not Path(database.place).exists():  # noqa: ASYNC240 - nothing else runs
            raise ValueError(f"there is no database {database.place}; is --data-dir right?")
        yield database


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


def _create_engine(url: str, *, is_postgresql: bool) -> AsyncEngine:
    if is_postgresql:
        return create_async_engine(
            make_url(url), pool_pre_ping=True, pool_size=10, connect_args={"timeout": 5}
        )
    engine = create_async_engine(url)
    event.listen(engine.sync_engine, "connect", _configure_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - driver's own type
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


def _begin_sqlite(connection: Any) -> None:  # noqa: ANN401 - SQLAlchemy's event signature
    writes = connection.get_execution_options().get("modelplane_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def is_storable(text: str) -> bool:
    """Tell whether `text` may be in a statement: PostgreSQL knows no NUL character."""
    return "\0" not in text


def remedy_for(error: BaseException) -> str:
    """Return what the operator can do about `error`, which no waiting mends; empty: nothing."""
    original = getattr(error, "orig", None)
    code = getattr(original, "sqlite_errorcode", 0) & _PRIMARY_CODE
    state = getattr(original, "sqlstate", None) or ""
    if code in (SQLITE_CORRUPT, SQLITE_NOTADB) or state in _DAMAGE_STATES:
        return "Put back a copy of it."
    return "Check MODELPLANE_DATABASE_URL." if state.startswith(_ACCESS_STATES) else ""


def is_outage(error: BaseException) -> bool:
    """Tell whether `error` means that the database is away, not that a statement is wrong."""
    if isinstance(error, DBAPIError):
        if getattr(error.orig, "sqlite_errorcode", None) == SQLITE_ERROR:
            return False
        # The driver has no class of its own for what a server says that is about to go or to come.
        state = getattr(error.orig, "sqlstate", None) or ""
        return (
            isinstance(error, OperationalError | InterfaceError)
            or error.connection_invalidated
            or state.startswith(_OUTAGE_STATES)
        )
    return isinstance(error, OSError)
