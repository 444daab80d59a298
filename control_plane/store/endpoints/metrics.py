"""What workers have counted for each endpoint.

Before: `endpoints.metrics`. Neighbours: `database`, `tables`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import bindparam
from sqlmodel import col, delete, select, update

from modelplane.control_plane.store.database import Session, Transaction, in_parts
from modelplane.control_plane.store.tables import (
    EndpointMetricsRow,
    EndpointRow,
    MetricsReporterRow,
)
from modelplane.control_plane.store.upsert import insert

_BATCH = 500


@dataclass(frozen=True, slots=True)
class LockedTotals:
    """The totals of an endpoint, which nobody else changes.

    Attributes:
        text: They, JSON.
        live_until_ms: Until when they are recorded in steps of five seconds, too.
    """

    text: str
    live_until_ms: int


@dataclass(frozen=True, slots=True)
class Reporter:
    """A worker's process and its report.

    Attributes:
        id: Identifier of the process.
        sequence: Number of the report.
        in_flight: Queries that it is answering, by identifier of the endpoint.
        seen_ms: Time of the report, milliseconds since the epoch.
    """

    id: str
    sequence: int
    in_flight: Mapping[str, int]
    seen_ms: int


async def note_reporter(transaction: Transaction, reporter: Reporter) -> bool:
    """Store a report's number and what is in flight; return False when it was there before."""
    values = {
        "sequence": reporter.sequence,
        "in_flight_json": orjson.dumps(reporter.in_flight).decode(),
        "seen_ms": reporter.seen_ms,
    }
    new = insert(transaction.session, MetricsReporterRow).values(id=reporter.id, **values)
    # One statement, so that of two replicas that are told at the same time one finds it done.
    statement = new.on_conflict_do_update(
        index_elements=["id"],
        set_=values,
        where=col(MetricsReporterRow.sequence) < reporter.sequence,
    )
    return bool((await transaction.session.exec(statement)).rowcount)


async def forget_reporters(transaction: Transaction, before_ms: int) -> None:
    """Delete processes that have not reported since a time."""
    statement = delete(MetricsReporterRow).where(col(MetricsReporterRow.seen_ms) < before_ms)
    await transaction.session.exec(statement)


async def read_in_flight(session: Session, now_ms: int, gone_ms: int) -> Counter[str]:
    """Return how many queries of each endpoint are being answered.

    Args:
        session: Reads.
        now_ms: Time.
        gone_ms: A process that was last heard of at another time than this close to it is gone.
    """
    seen_ms = col(MetricsReporterRow.seen_ms)
    query = select(MetricsReporterRow.in_flight_json).where(
        seen_ms > now_ms - gone_ms, seen_ms < now_ms + gone_ms
    )
    total: Counter[str] = Counter()
    for report in (await session.exec(query)).all():
        total.update(orjson.loads(report))
    return total


async def read_totals(session: Session, endpoint_id: str) -> str:
    """Return the totals of an endpoint, JSON."""
    row = await session.get(EndpointMetricsRow, endpoint_id)
    return row.totals_json if row else "{}"


async def read_all_totals(session: Session, endpoint_ids: Sequence[str]) -> dict[str, str]:
    """Return the totals of endpoints, JSON, by identifier; of those that have any."""
    found: dict[str, str] = {}
    for part in in_parts(endpoint_ids):
        query = select(EndpointMetricsRow.endpoint_id, EndpointMetricsRow.totals_json)
        rows = await session.exec(query.where(col(EndpointMetricsRow.endpoint_id).in_(part)))
        found |= dict(rows.all())
    return found


async def lock_totals(
    transaction: Transaction, endpoint_ids: Sequence[str]
) -> dict[str, LockedTotals]:
    """Return the totals of those endpoints that exist, and keep others from changing them."""
    # In one order, and new rows before those that are locked, so that transactions with endpoints
    # in common wait for each other in turn.
    ordered = sorted(endpoint_ids)
    batches = [ordered[start : start + _BATCH] for start in range(0, len(ordered), _BATCH)]
    for batch in batches:
        await _insert_missing(transaction.session, batch)
    totals: dict[str, LockedTotals] = {}
    for batch in batches:
        totals |= await _lock(transaction.session, batch)
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


async def _insert_missing(session: Session, endpoint_ids: Sequence[str]) -> None:
    """Make the rows of endpoints that nothing was reported of before."""
    endpoint_id = col(EndpointRow.id)
    has_row = select(EndpointMetricsRow.endpoint_id).where(
        col(EndpointMetricsRow.endpoint_id) == endpoint_id
    )
    query = select(EndpointRow.id).where(endpoint_id.in_(endpoint_ids), ~has_row.exists())
    # An endpoint must not be deleted before its row is there.
    held = query.order_by(endpoint_id).with_for_update(read=True, key_share=True)
    if missing := (await session.exec(held)).all():
        zero = {"totals_json": "{}", "series_from_ms": 0, "live_from_ms": 0, "live_until_ms": 0}
        new = [{"endpoint_id": found, **zero} for found in missing]
        await session.exec(insert(session, EndpointMetricsRow).values(new).on_conflict_do_nothing())


async def _lock(session: Session, endpoint_ids: Sequence[str]) -> dict[str, LockedTotals]:
    endpoint_id = col(EndpointMetricsRow.endpoint_id)
    query = select(
        EndpointMetricsRow.endpoint_id,
        EndpointMetricsRow.totals_json,
        EndpointMetricsRow.live_until_ms,
    )
    locked = query.where(endpoint_id.in_(endpoint_ids)).order_by(endpoint_id).with_for_update()
    return {
        key: LockedTotals(text, live_until_ms)
        for key, text, live_until_ms in (await session.exec(locked)).all()
    }
