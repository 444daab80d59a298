"""Statements on the counters of limits.

Before: `quota`. After: `tables`. A counter's row is locked from `lock_counters` to the commit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, func
from sqlmodel import col, delete, select, update

from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.tables import QuotaRow, ReplicaRow
from modelplane.control_plane.store.upsert import insert

_NOW_MS = func.floor(func.extract("epoch", func.clock_timestamp()) * 1000)
# Drivers limit the number of parameters of a statement.
_BATCH = 500
_COUNTED = ("window", "granted", "debt", "used")


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


async def lock_counters(transaction: Transaction, keys: Sequence[bytes]) -> dict[bytes, Counter]:
    """Return the counters of `keys`, new ones at zero, and keep others from changing them."""
    # In one order, so that transactions with counters in common wait for each other in turn.
    ordered = sorted(keys)
    counters: dict[bytes, Counter] = {}
    for start in range(0, len(ordered), _BATCH):
        batch = ordered[start : start + _BATCH]
        # Twice only if a sweep deletes a row between the two statements.
        while missing := [key for key in batch if key not in counters]:
            new = [{"key": key, **dict.fromkeys(_COUNTED, 0)} for key in missing]
            await transaction.session.exec(
                insert(transaction.session, QuotaRow).values(new).on_conflict_do_nothing()
            )
            query = select(QuotaRow).where(col(QuotaRow.key).in_(missing))
            locked = query.order_by(col(QuotaRow.key)).with_for_update()
            for row in (await transaction.session.exec(locked)).all():
                counters[row.key] = Counter(row.window, row.granted, row.debt, row.used)
    return counters


async def save_counters(transaction: Transaction, counters: Mapping[bytes, Counter]) -> None:
    """Store counters that are locked."""
    statement = (
        update(QuotaRow)
        .where(col(QuotaRow.key) == bindparam("of"))
        .values({name: bindparam(f"new_{name}") for name in _COUNTED})
    )
    rows = [
        {"of": key, **{f"new_{name}": getattr(counter, name) for name in _COUNTED}}
        for key, counter in sorted(counters.items())
    ]
    connection = await transaction.session.connection()
    await connection.execute(statement, rows)


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
