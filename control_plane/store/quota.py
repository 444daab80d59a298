"""Statements on the counters of limits.

Before: `quota`. After: `tables`.
"""

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import func
from sqlmodel import col, delete, select

from modelplane.control_plane.clock import Clock, system_clock
from modelplane.control_plane.store.database import Database, Session, Transaction
from modelplane.control_plane.store.tables import QuotaRow, ReplicaRow

T = TypeVar("T")
_NOW_MS = func.floor(func.extract("epoch", func.clock_timestamp()) * 1000)
# Drivers limit the number of parameters of a statement.
_BATCH = 512
_READ_SQLITE = 'SELECT "key", "window", granted, debt, used FROM quota WHERE "key" IN'
# A new counter has no row yet.
_SAVE_SQLITE = """
INSERT INTO quota ("key", "window", granted, debt, used) VALUES (?, ?, ?, ?, ?)
ON CONFLICT ("key") DO UPDATE SET
    "window" = excluded."window", granted = excluded.granted, debt = excluded.debt,
    used = excluded.used
"""
# It locks, and tells, also what is there already.
_LOCK = """
INSERT INTO quota ("key", "window", granted, debt, used)
SELECT wanted, 0, 0, 0, 0 FROM unnest($1::bytea[]) AS wanted
ON CONFLICT ("key") DO UPDATE SET used = quota.used
RETURNING "key", "window", granted, debt, used,
    CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS bigint)
"""
_SAVE = """
UPDATE quota SET "window" = new."window", granted = new.granted, debt = new.debt, used = new.used
FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    AS new("key", "window", granted, debt, used)
WHERE quota."key" = new."key"
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


async def change_counters(
    database: Database,
    clock: Clock | None,
    ask: Callable[[], Collection[bytes]],
    change: Callable[[Mapping[bytes, Counter], int], T],
) -> T:
    """Change counters while others are kept from it, and return what `change` returns.

    Through drivers, and with few statements: SQLAlchemy's ways cost several times as much as these,
    and this is what queries of rare callers wait for.

    Args:
        database: Where they are.
        clock: Time; None: PostgreSQL's own.
        ask: Tells the keys of the counters, once the database is free. It may be asked twice.
        change: Is given the counters, new ones at zero, and the time, milliseconds since the epoch.

    Raises:
        StoreUnavailable: The database does not answer.
    """
    if not database.is_postgresql:
        return await database.visit(lambda: partial(_change_on_sqlite, ask(), clock, change))
    async with database.write() as transaction:
        connection = await transaction.session.connection()
        # In one order, so that transactions with counters in common wait for each other in turn.
        keys = sorted(ask())
        rows: Sequence[Any] = ()
        if keys:
            rows = (await connection.exec_driver_sql(_LOCK, (keys,))).all()
        counters = {row[0]: Counter(*row[1:-1]) for row in rows}
        if clock:
            now_ms = clock()
        else:
            # After the last lock, since waiting for it may have taken into the next window.
            now_ms = max(row[-1] for row in rows) if rows else await read_time(transaction.session)
        result = change(counters, now_ms)
        if counters:
            columns = zip(*(_values(key, counters[key]) for key in keys), strict=True)
            await connection.exec_driver_sql(_SAVE, tuple(map(list, columns)))
        return result


def _change_on_sqlite(
    keys: Collection[bytes],
    clock: Clock | None,
    change: Callable[[Mapping[bytes, Counter], int], T],
    connection: sqlite3.Connection,
) -> T:
    counters = {key: Counter() for key in keys}
    ordered = list(counters)
    for start in range(0, len(ordered), _BATCH):
        batch = ordered[start : start + _BATCH]
        query = f"{_READ_SQLITE} ({', '.join('?' * len(batch))})"
        for key, *counted in connection.execute(query, batch):
            counters[key] = Counter(*counted)
    # Others may have been waited for.
    result = change(counters, (clock or system_clock)())
    rows = [_values(key, counter) for key, counter in counters.items()]
    connection.executemany(_SAVE_SQLITE, rows)
    return result


def _values(key: bytes, counter: Counter) -> tuple[bytes, int, int, int, int]:
    return key, counter.window, counter.granted, counter.debt, counter.used


async def read_counters(session: Session, keys: Sequence[bytes]) -> dict[bytes, Counter]:
    """Return those counters of `keys` that there are, without keeping others from them."""
    found = {}
    for start in range(0, len(keys), _BATCH):
        part = keys[start : start + _BATCH]
        rows = await session.exec(select(QuotaRow).where(col(QuotaRow.key).in_(part)))
        for row in rows.all():
            found[row.key] = Counter(row.window, row.granted, row.debt, row.used)
    return found


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
