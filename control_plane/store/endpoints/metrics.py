"""What workers have counted for each endpoint.

Before: `endpoints.metrics`. Neighbours: `database`, `tables`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import col, select, update

from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.tables import EndpointMetricsRow, EndpointRow

_BATCH = 500


async def read_totals(session: Session, endpoint_id: str) -> str:
    """Return the totals of an endpoint, JSON."""
    row = await session.get(EndpointMetricsRow, endpoint_id)
    return row.totals_json if row else "{}"


async def lock_totals(
    transaction: Transaction, endpoint_ids: Sequence[str], *, is_postgresql: bool
) -> dict[str, str]:
    """Return the totals of those endpoints that exist, and keep others from changing them."""
    # In one order, so that transactions with endpoints in common wait for each other in turn.
    ordered = sorted(endpoint_ids)
    totals: dict[str, str] = {}
    for start in range(0, len(ordered), _BATCH):
        batch = ordered[start : start + _BATCH]
        totals |= await _lock_batch(transaction.session, batch, is_postgresql=is_postgresql)
    return totals


async def save_totals(transaction: Transaction, totals: Mapping[str, str]) -> None:
    """Store totals that are locked."""
    if not totals:
        return
    statement = (
        update(EndpointMetricsRow)
        .where(col(EndpointMetricsRow.endpoint_id) == bindparam("of"))
        .values(totals_json=bindparam("new_totals"))
    )
    rows = [{"of": key, "new_totals": value} for key, value in sorted(totals.items())]
    connection = await transaction.session.connection()
    await connection.execute(statement, rows)


async def _lock_batch(
    session: Session, batch: Sequence[str], *, is_postgresql: bool
) -> dict[str, str]:
    # An endpoint must not be deleted before its row is there.
    known = select(EndpointRow.id).where(col(EndpointRow.id).in_(batch))
    known = known.order_by(col(EndpointRow.id)).with_for_update(read=True, key_share=True)
    found = (await session.exec(known)).all()
    if not found:
        return {}
    dialect: Any = postgresql if is_postgresql else sqlite
    new = [{"endpoint_id": endpoint_id, "totals_json": "{}"} for endpoint_id in found]
    await session.exec(dialect.insert(EndpointMetricsRow).values(new).on_conflict_do_nothing())
    query = select(EndpointMetricsRow).where(col(EndpointMetricsRow.endpoint_id).in_(found))
    locked = query.order_by(col(EndpointMetricsRow.endpoint_id)).with_for_update()
    return {row.endpoint_id: row.totals_json for row in (await session.exec(locked)).all()}
