"""Statements on the counters of limits.

Before: `quota`. After: `tables`. A counter's row is locked from `lock_counters` to the commit.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import Dialect, LargeBinary, bindparam, func
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col, delete, select, update

from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.tables import QuotaRow, ReplicaRow
from modelplane.control_plane.store.upsert import insert_for

_NOW_MS = func.floor(func.extract("epoch", func.clock_timestamp()) * 1000)
# Drivers limit the number of parameters of a statement.
_BATCH = 512
_COUNTED = ("window", "granted", "debt", "used")
_READ_SQLITE = 'SELECT "key", "window", granted, debt, used FROM quota WHERE "key" IN'
# A new counter has no row yet.
_SAVE_SQLITE = """
INSERT INTO quota ("window", granted, debt, used, "key") VALUES (?, ?, ?, ?, ?)
ON CONFLICT ("key") DO UPDATE SET
    "window" = excluded."window", granted = excluded.granted, debt = excluded.debt,
    used = excluded.used
"""


@dataclass(slots=True)
class Counter:
    """What one limit counts in a window; the fields are those of its row."""

    window: int = 0
    granted: int = 0
    debt: int = 0
    used: int = 0


async def read_time(session: Session) -> int:
    """Return PostgreSQL's time of this moment, milliseconds since the epoch.

    Of this moment, and not of the transaction's begin: it may have waited for locks since.
    """
    return int((await session.exec(select(_NOW_MS))).one())


async def lock_counters(transaction: Transaction, keys: Collection[bytes]) -> dict[bytes, Counter]:
    """Return the counters of `keys`, new ones at zero, and keep others from changing them."""
    # Through the connection, and in SQL that is compiled once: the session's own ways cost several
    # times as much as the statements, and this is what queries of rare callers wait for.
    connection = await transaction.session.connection()
    if connection.dialect.name == "sqlite":
        return await _read_sqlite(connection, keys)
    put, _ = _statements(connection.dialect)
    # In one order, so that transactions with counters in common wait for each other in turn.
    ordered = sorted(keys)
    counters: dict[bytes, Counter] = {}
    for start in range(0, len(ordered), _BATCH):
        batch = ordered[start : start + _BATCH]
        # Twice only if a sweep deletes a row between the two statements.
        while missing := [key for key in batch if key not in counters]:
            await connection.exec_driver_sql(put, [(key, 0, 0, 0, 0) for key in missing])
            # A few statements for all numbers of keys, so that databases know them, too.
            padded = missing + missing[-1:] * (
                (1 << (len(missing) - 1).bit_length()) - len(missing)
            )
            lock = _lock_statement(connection.dialect, len(padded))
            for row in await connection.exec_driver_sql(lock, tuple(padded)):
                counters[row[0]] = Counter(*row[1:])
    return counters


async def read_counters(session: Session, keys: Sequence[bytes]) -> dict[bytes, Counter]:
    """Return those counters of `keys` that there are, without keeping others from them."""
    found = {}
    for start in range(0, len(keys), _BATCH):
        part = keys[start : start + _BATCH]
        rows = await session.exec(select(QuotaRow).where(col(QuotaRow.key).in_(part)))
        for row in rows.all():
            found[row.key] = Counter(row.window, row.granted, row.debt, row.used)
    return found


async def save_counters(transaction: Transaction, counters: Mapping[bytes, Counter]) -> None:
    """Store counters that are locked."""
    connection = await transaction.session.connection()
    rows = [
        (counter.window, counter.granted, counter.debt, counter.used, key)
        for key, counter in sorted(counters.items())
    ]
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql(_SAVE_SQLITE, rows)
        return
    _, save = _statements(connection.dialect)
    await connection.exec_driver_sql(save, rows)


async def _read_sqlite(
    connection: AsyncConnection, keys: Collection[bytes]
) -> dict[bytes, Counter]:
    """Return the counters of `keys`, where the transaction is the only one that writes."""
    counters = {key: Counter() for key in keys}
    ordered = list(counters)
    for start in range(0, len(ordered), _BATCH):
        batch = ordered[start : start + _BATCH]
        query = f"{_READ_SQLITE} ({', '.join('?' * len(batch))})"
        for row in await connection.exec_driver_sql(query, tuple(batch)):
            counters[row[0]] = Counter(*row[1:])
    return counters


@lru_cache(maxsize=8)
def _statements(dialect: Dialect) -> tuple[str, str]:
    """Return the SQL that makes a counter unless it is there, and that stores one.

    Parameters are in order: those of a counter after, and before its key.
    """
    put = insert_for(dialect, QuotaRow).values(
        {name: bindparam(name) for name in ("key", *_COUNTED)}
    )
    save = update(QuotaRow).where(col(QuotaRow.key) == bindparam("of"))
    save = save.values({name: bindparam(f"new_{name}") for name in _COUNTED})
    first, second = (
        str(statement.compile(dialect=dialect))
        for statement in (put.on_conflict_do_nothing(), save)
    )
    return first, second


@lru_cache(maxsize=32)
def _lock_statement(dialect: Dialect, count: int) -> str:
    """Return the SQL that reads and locks `count` counters, whose keys are its parameters."""
    columns = [col(getattr(QuotaRow, name)) for name in ("key", *_COUNTED)]
    keys = [bindparam(f"key_{number}", type_=LargeBinary()) for number in range(count)]
    key = col(QuotaRow.key)
    query = select(*columns).where(key.in_(keys)).order_by(key)
    return str(query.with_for_update().compile(dialect=dialect))


async def remove_counters(transaction: Transaction, before_window: int) -> None:
    """Delete counters of old windows, but for those that someone is using."""
    # Rows that are locked are left for the next time: waiting here could end in a deadlock.
    old = (
        select(QuotaRow.key)
        .where(col(QuotaRow.window) < before_window)
        .with_for_update(skip_locked=True)
    )
    await transaction.session.exec(delete(QuotaRow).where(col(QuotaRow.key).in_(old)))


async def count_workers(transaction: Transaction, since_ms: int) -> int:
    """Return how many workers are connected to the replicas that told so since a time.

    Only replicas on one PostgreSQL tell, by `replica_store`.
    """
    query = select(func.coalesce(func.sum(col(ReplicaRow.workers)), 0))
    return (await transaction.session.exec(query.where(col(ReplicaRow.seen_ms) > since_ms))).one()
