"""Statements on what replicas of models were measured to do.

Before: `control_plane.hosting`. After: `tables`.
"""

from collections.abc import Collection, Mapping

from sqlmodel import col, delete, select

from modelplane.control_plane.store.database import Session, Transaction, in_parts
from modelplane.control_plane.store.hosting.tables import MeasuredThroughputRow
from modelplane.control_plane.store.upsert import insert

# Models come and go; of those whose measurement is forgotten, it is made again.
_MOST = 10_000


async def read_measured(session: Session, keys: Collection[str]) -> dict[str, float]:
    """Return tokens per second by key, of those that were measured."""
    found: dict[str, float] = {}
    for part in in_parts(sorted(keys)):
        query = select(MeasuredThroughputRow).where(col(MeasuredThroughputRow.key).in_(part))
        for row in (await session.exec(query)).all():
            found[row.key] = row.tokens_per_second
    return found


async def save_measured(
    transaction: Transaction, measured: Mapping[str, float], now_ms: int
) -> None:
    """Store tokens per second by key, and forget the oldest of too many."""
    for key, rate in sorted(measured.items()):
        values = {"tokens_per_second": rate, "measured_ms": now_ms}
        statement = insert(transaction.session, MeasuredThroughputRow).values(key=key, **values)
        await transaction.session.exec(
            statement.on_conflict_do_update(index_elements=["key"], set_=values)
        )
    newest = (
        select(MeasuredThroughputRow.key)
        .order_by(col(MeasuredThroughputRow.measured_ms).desc(), col(MeasuredThroughputRow.key))
        .limit(_MOST)
    )
    await transaction.session.exec(
        delete(MeasuredThroughputRow).where(col(MeasuredThroughputRow.key).not_in(newest))
    )
