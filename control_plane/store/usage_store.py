"""Statements on the usage ledger: what workers report, and what becomes of it.

Before: `usage_intake`. After: `usage_tables`. Beside: `usage_queries`, which reads it.
"""

from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

from sqlalchemy import CursorResult
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import col, delete, or_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from control_plane.store.database import Transaction
from control_plane.store.tables import EndpointRow
from control_plane.store.usage_tables import UsageJournalRow, UsageRow, UsageState

# The columns of a row by name.
UsageValues: TypeAlias = dict[str, object]
# What an outcome says; the rest is known from the begin.
_OUTCOME = (
    "state",
    "served_entity_id",
    "served_entity_name",
    "status_code",
    "error",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "estimated",
    "output_characters",
    "latency_ms",
    "first_chunk_ms",
    "attempts_json",
)


async def find_tags(session: AsyncSession, endpoint_ids: Collection[str]) -> dict[str, str]:
    """Return the tags of endpoints, as they are stored, by identifier."""
    query = select(EndpointRow.id, EndpointRow.tags_json).where(
        col(EndpointRow.id).in_(endpoint_ids)
    )
    return dict((await session.exec(query)).all())


async def put_rows(
    transaction: Transaction, rows: Sequence[UsageValues], *, is_postgresql: bool
) -> None:
    """Store queries, each once; a row has all columns.

    An outcome completes a row that had none; nothing takes the place of an outcome but that of a
    query that was given up as unknown.
    """
    dialect: Any = postgresql if is_postgresql else sqlite
    insert = dialect.insert(UsageRow)
    says_something = insert.excluded.state != UsageState.RUNNING
    upsert = insert.on_conflict_do_update(
        index_elements=["id"],
        set_={name: insert.excluded[name] for name in _OUTCOME},
        where=(
            says_something
            & or_(
                col(UsageRow.state) == UsageState.RUNNING,
                (col(UsageRow.state) == UsageState.UNKNOWN)
                & (insert.excluded.state == UsageState.ENDED),
            )
        ),
    )
    connection = await transaction.session.connection()
    # In one order, so that two replicas with rows in common wait for each other in turn.
    await connection.execute(upsert, sorted(rows, key=lambda row: str(row["id"])))


async def note_journal(
    transaction: Transaction, journal_id: str, seen_ms: int, *, is_postgresql: bool
) -> None:
    """Note a journal's sign of life."""
    dialect: Any = postgresql if is_postgresql else sqlite
    insert = dialect.insert(UsageJournalRow).values(id=journal_id, seen_ms=seen_ms)
    upsert = insert.on_conflict_do_update(index_elements=["id"], set_={"seen_ms": seen_ms})
    await transaction.session.exec(upsert)


async def close_lost(transaction: Transaction, seen_before_ms: int) -> int:
    """Close the running queries of journals without a sign of life since; return how many.

    The journals are forgotten.
    """
    lost = select(UsageJournalRow.id).where(col(UsageJournalRow.seen_ms) < seen_before_ms)
    closed = await transaction.session.exec(
        update(UsageRow)
        .where(col(UsageRow.state) == UsageState.RUNNING, col(UsageRow.journal_id).in_(lost))
        .values(state=UsageState.UNKNOWN)
    )
    gone = delete(UsageJournalRow).where(col(UsageJournalRow.seen_ms) < seen_before_ms)
    await transaction.session.exec(gone)
    return _count(closed)


async def delete_rows_before(transaction: Transaction, time_ms: int, limit: int) -> int:
    """Delete up to `limit` rows from before a time, the oldest first; return how many."""
    old = (
        select(UsageRow.id)
        .where(col(UsageRow.time_ms) < time_ms)
        .order_by(col(UsageRow.time_ms))
        .limit(limit)
    )
    found = await transaction.session.exec(delete(UsageRow).where(col(UsageRow.id).in_(old)))
    return _count(found)


def _count(result: "CursorResult[Any]") -> int:
    return int(result.rowcount)
