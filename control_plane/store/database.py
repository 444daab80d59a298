"""One database: SQLite or PostgreSQL, its transactions, and revisions ordered by commit.

Neighbours: `tables` (what is stored), `migrate` (how it came to be), `engine` (the connections),
`faults` (what their errors mean).
"""

import asyncio
import os
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col, insert, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from modelplane.control_plane.errors import ReportTooLong, StoreUnavailable, TooManyCalls
from modelplane.control_plane.store.engine import (
    async_url,
    create_engine,
    create_report_engine,
    reading,
)
from modelplane.control_plane.store.faults import (
    is_conflict,
    is_outage,
    is_overdue,
    is_unopened,
    is_unwritable,
    remedy_for,
)
from modelplane.control_plane.store.states import EventKind
from modelplane.control_plane.store.tables import EventRow, RevisionRow
from modelplane.control_plane.store.visits import Visits

T = TypeVar("T")

# Drivers limit the number of parameters of a statement.
_PARAMETERS = 500

# PostgreSQL channel on which a commit hints at new events.
CHANNEL = "modelplane_events"
# In a hint, after its sender: only the progress of workers has changed.
MOVED = "moved"
_NOTIFY = text("SELECT pg_notify(:channel, :what)")
# How far workers are is told anew where it is lost: its commit waits for no disk.
_NOTIFY_MOVED = text(
    "SELECT set_config('synchronous_commit', 'off', true), pg_notify(:channel, :what)"
)

# A transaction that takes longer is given up, whatever it waits for: a connection, a lock, a server
# that is there but says nothing. Each is a few statements on a few rows.
SECONDS = 10.0
# One that goes over everything that is stored.
BULK_SECONDS = 120.0
# Reports that are made at a time, how long one may take, and how long one waits for its turn.
MAX_REPORTS = 3
REPORT_SECONDS = 30.0
_REPORT_WAIT_SECONDS = 5.0
# So long after a write was refused, others are taken to be: those that keep leases come more often.
_UNWRITABLE_SECONDS = 10.0
# Beyond the time that the database gives a report: it did not even say that it gave it up.
_REPORT_GRACE_SECONDS = 5.0


CONFLICT = "Somebody else changed the same at the same time; please retry."
UNWRITABLE = "The database cannot be written: its disk is full or read-only; please retry."


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
        # Whether it tells them how far workers are: nothing else is looked at again for that.
        self.moved = False

    async def revise(self, kind: EventKind, key: str) -> int:
        """Record a change of `key` and return its revision: see `revise_all`."""
        return await self.revise_all(kind, [key])

    async def revise_all(
        self, kind: EventKind, keys: Sequence[str], secret: str | None = None
    ) -> int:
        """Record a change of each of `keys` (at least one), in order; return the last revision.

        With `secret`, as `scope/key`, its value is all that changed of endpoints.

        The counter's row stays locked until the commit, so a reader that has seen revision n has
        seen every revision below it. Call it late: other writers wait from here on.
        """
        # The events refer to what the session may not have written yet.
        await self.session.flush()
        counter = (
            update(RevisionRow)
            .values(revision=col(RevisionRow.revision) + len(keys))
            .returning(col(RevisionRow.revision))
        )
        last = int((await self.session.exec(counter)).scalar_one())
        revisions = range(last - len(keys) + 1, last + 1)
        await self.session.exec(
            insert(EventRow),
            params=[
                {"revision": revision, "kind": kind, "key": key, "secret": secret}
                for revision, key in zip(revisions, keys, strict=True)
            ],
        )
        self.hint = True
        return last

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

    def __init__(self, url: str, seconds: float = SECONDS) -> None:
        """Make no connection yet.

        Args:
            url: Where the database is.
            seconds: When a transaction is given up that was given no other time.
        """
        # What tells its own hints from those of others.
        self.id = secrets.token_hex(8)
        self._seconds = seconds
        self.url = async_url(url)
        self.is_postgresql = self.url.startswith("postgresql")
        self.engine = create_engine(self.url, is_postgresql=self.is_postgresql)
        self._reading = reading(self.engine, is_postgresql=self.is_postgresql)
        self._report_engine = create_report_engine(
            self.url,
            is_postgresql=self.is_postgresql,
            connections=MAX_REPORTS,
            seconds=REPORT_SECONDS,
        )
        self._reports = asyncio.Semaphore(MAX_REPORTS)
        # SQLite has one writer at a time: waiting here is cheaper than its busy loop.
        self._writer = asyncio.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._visits = Visits(self.place)
        self._unwritable_until = 0.0

    @property
    def is_unwritable(self) -> bool:
        """Whether it refused to be written a moment ago, so that what it says may be outdated."""
        return time.monotonic() < self._unwritable_until

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
    async def read(self, seconds: float | None = None) -> AsyncIterator[Session]:
        """Yield a session for reading, for at most `seconds`.

        Raises:
            StoreUnavailable: The database does not answer.
            DatabaseUnusable: It is damaged.
        """
        with self._translated_errors():
            async with (
                asyncio.timeout(seconds or self._seconds),
                Session(self._reading, expire_on_commit=False) as session,
            ):
                yield session

    @asynccontextmanager
    async def report(self) -> AsyncIterator[Session]:
        """Yield a session for reading much: a few at a time, on connections of their own.

        Raises:
            TooManyCalls: Others are being made, and none was done in time.
            ReportTooLong: The database gave it up.
            StoreUnavailable: The database does not answer.
        """
        try:
            async with asyncio.timeout(_REPORT_WAIT_SECONDS):
                await self._reports.acquire()
        except TimeoutError:
            raise TooManyCalls(
                f"{MAX_REPORTS} reports are being made already; please retry."
            ) from None
        try:
            with self._translated_errors(), _told_if_overdue():
                async with (
                    asyncio.timeout(REPORT_SECONDS + _REPORT_GRACE_SECONDS),
                    Session(self._report_engine, expire_on_commit=False) as session,
                ):
                    yield session
        finally:
            self._reports.release()

    @asynccontextmanager
    async def write(self, seconds: float | None = None) -> AsyncIterator[Transaction]:
        """Yield a transaction that is committed at the end, or rolled back by an error.

        Raises:
            StoreUnavailable: The database does not answer, or it took longer than `seconds`;
                nothing was changed unless the connection broke during the commit itself.
            DatabaseUnusable: The database is damaged.
        """
        companion = current_companion.get()
        with self._translated_errors():
            async with (
                asyncio.timeout(seconds or self._seconds),
                self._exclusive(),
                self._session() as session,
            ):
                transaction = Transaction(session)
                async with session.begin():
                    yield transaction
                    if companion:
                        await companion.join(transaction)
                    if self.is_postgresql:
                        await self._notify(transaction)
        if companion:
            companion.committed()
        if transaction.hint:
            for listener in self._listeners:
                listener()

    async def visit(self, begin: Callable[[], Callable[[sqlite3.Connection], T]]) -> T:
        """Do some short work in a transaction of its own on SQLite; return what it returns.

        Args:
            begin: Tells the work, once the database is free. The work runs in another thread; it
                commits nothing itself, and an error of it takes back what it did.

        Raises:
            StoreUnavailable: The database does not answer.
            DatabaseUnusable: The database is damaged.
        """
        with self._translated_errors():
            async with asyncio.timeout(self._seconds), self._writer:
                try:
                    return await self._visits.write(begin())
                except sqlite3.Error as error:
                    raise DBAPIError.instance(None, None, error, sqlite3.Error) from error

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
        await self._visits.aclose()
        await self.engine.dispose()
        await self._report_engine.dispose()

    async def _notify(self, transaction: Transaction) -> None:
        if transaction.hint or transaction.moved:
            moved = not transaction.hint
            values = {"channel": CHANNEL, "what": f"{self.id} {MOVED}" if moved else self.id}
            notify = _NOTIFY_MOVED if moved else _NOTIFY
            await transaction.session.exec(notify, params=values)  # type: ignore[call-overload]

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, PoolTimeoutError, OSError) as error:
            if remedy := remedy_for(error):
                reason = getattr(error, "orig", error)
                raise DatabaseUnusable(
                    f"The database {self.place} cannot be used: {reason}. {remedy}"
                ) from error
            original = getattr(error, "orig", None)
            if is_unwritable(original) or (is_unopened(original) and self._is_kept_from_writing()):
                self._unwritable_until = time.monotonic() + _UNWRITABLE_SECONDS
                raise StoreUnavailable(UNWRITABLE) from error
            if is_conflict(error):
                raise StoreUnavailable(CONFLICT) from error
            if is_outage(error):
                raise StoreUnavailable("The database does not answer; please retry.") from error
            raise

    def _is_kept_from_writing(self) -> bool:
        """Tell whether SQLite's directory takes no file, without which nothing is read either."""
        directory = Path(self.place).parent
        return directory.is_dir() and not os.access(directory, os.W_OK, effective_ids=True)

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


@contextmanager
def _told_if_overdue() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if not is_overdue(error):
            raise
        raise ReportTooLong(
            f"This takes longer than {REPORT_SECONDS:.0f} s; select a shorter time or one endpoint."
        ) from error


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


def in_parts(values: Collection[str]) -> Iterator[Sequence[str]]:
    """Yield `values` in parts that fit into a statement."""
    listed = list(values)
    for start in range(0, len(listed), _PARAMETERS):
        yield listed[start : start + _PARAMETERS]


def is_storable(text: str) -> bool:
    """Tell whether `text` may be in a statement: PostgreSQL knows no NUL character."""
    return "\0" not in text
