"""Statements on the audit log.

Before: `audit.log`, `audit.reader`. After: `tables`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlmodel import col, delete, or_, select

from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.tables import AuditEventRow

OK = "OK"
# Stands for every outcome but OK.
REFUSED = "REFUSED"
_HTTP_OK = 200


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """A change, or refusals that are alike.

    Attributes:
        time_ms: Time of the first, milliseconds since the epoch.
        principal_id: Who called; empty when that could not be told.
        principal_name: Its name at the time.
        action: Name of the RPC.
        object_type: Type of the object.
        object_name: Its name, as given.
        request_id: Identifier of the request.
        source_address: Address of the caller.
        details: Fields of the request; None for values that are not recorded.
        outcome: Name of the gRPC status.
        http_status: HTTP status.
        error_code: Error code of the answer.
        count: Number of refusals.
        id: Identifier; 0 before the event is stored.
    """

    time_ms: int
    principal_id: str
    principal_name: str
    action: str
    object_type: str
    object_name: str
    request_id: str
    source_address: str
    details: Mapping[str, Any] = field(default_factory=dict)
    outcome: str = OK
    http_status: int = _HTTP_OK
    error_code: str = ""
    count: int = 1
    id: int = 0


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Selects events; None and 0 select all.

    Attributes:
        start_ms: Earliest time, milliseconds since the epoch.
        end_ms: Time before which, milliseconds since the epoch.
        principal: Identifier or name.
        action: Name of the RPC.
        object_type: Type of the object.
        object_name: Its name.
        outcome: Name of a gRPC status, or REFUSED.
        before_id: Only events that were stored before the one with this identifier.
    """

    start_ms: float | None = None
    end_ms: float | None = None
    principal: str | None = None
    action: str | None = None
    object_type: str | None = None
    object_name: str | None = None
    outcome: str | None = None
    before_id: int = 0


async def insert_event(transaction: Transaction, event: AuditEvent) -> int:
    """Store an event and return its identifier."""
    values = {name: getattr(event, name) for name in AuditEvent.__slots__}
    details = orjson.dumps(values.pop("details")).decode()
    row = AuditEventRow(**values | {"id": None}, details_json=details)
    transaction.session.add(row)
    await transaction.session.flush()
    assert row.id is not None  # noqa: S101 - the database has given it
    return row.id


async def delete_event(transaction: Transaction, event_id: int) -> None:
    """Delete an event."""
    await transaction.session.exec(delete(AuditEventRow).where(col(AuditEventRow.id) == event_id))


async def list_events(session: Session, selected: AuditFilter, limit: int) -> list[AuditEvent]:
    """Return the newest `limit` events that a filter selects."""
    query = (
        select(AuditEventRow)
        .where(*_conditions(selected))
        .order_by(col(AuditEventRow.id).desc())
        .limit(limit)
    )
    return [_event(row) for row in (await session.exec(query)).all()]


async def delete_events_before(transaction: Transaction, time_ms: int, limit: int) -> int:
    """Delete up to `limit` events from before a time, the oldest first; return how many."""
    old = (
        select(AuditEventRow.id)
        .where(col(AuditEventRow.time_ms) < time_ms)
        .order_by(col(AuditEventRow.time_ms))
        .limit(limit)
    )
    found = await transaction.session.exec(
        delete(AuditEventRow).where(col(AuditEventRow.id).in_(old))
    )
    return int(found.rowcount)


async def delete_refusals_beyond(transaction: Transaction, keep: int, limit: int) -> int:
    """Delete up to `limit` refusals that are older than the newest `keep`; return how many."""
    surplus = (
        select(AuditEventRow.id)
        .where(col(AuditEventRow.outcome) != OK)
        .order_by(col(AuditEventRow.id).desc())
        .offset(keep)
        .limit(limit)
    )
    found = await transaction.session.exec(
        delete(AuditEventRow).where(col(AuditEventRow.id).in_(surplus))
    )
    return int(found.rowcount)


def _conditions(selected: AuditFilter) -> list[Any]:
    row = AuditEventRow
    conditions: list[Any] = [
        col(getattr(row, name)) == value
        for name in ("action", "object_type", "object_name")
        if (value := getattr(selected, name)) is not None
    ]
    if selected.start_ms is not None:
        conditions.append(col(row.time_ms) >= selected.start_ms)
    if selected.end_ms is not None:
        conditions.append(col(row.time_ms) < selected.end_ms)
    if selected.principal is not None:
        known = (col(row.principal_id), col(row.principal_name))
        conditions.append(or_(*(one == selected.principal for one in known)))
    if selected.outcome == REFUSED:
        conditions.append(col(row.outcome) != OK)
    elif selected.outcome is not None:
        conditions.append(col(row.outcome) == selected.outcome)
    if selected.before_id:
        conditions.append(col(row.id) < selected.before_id)
    return conditions


def _event(row: AuditEventRow) -> AuditEvent:
    values = row.model_dump()
    return AuditEvent(**values | {"details": orjson.loads(values.pop("details_json"))})
