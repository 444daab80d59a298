"""Which queries are meant, as conditions of statements.

Used by `queries` and `sums`. After: `tables`, `request_tags`, `attempts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement
from sqlmodel import col, or_, select

from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.states import UsageState
from modelplane.control_plane.store.usage.attempts import has_fallback
from modelplane.control_plane.store.usage.request_tags import has_tag
from modelplane.control_plane.store.usage.tables import UsageOriginRow, UsageRow, UsageTotalRow


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """Selects queries; None selects all.

    Attributes:
        endpoint_id: Identifier of the endpoint.
        endpoint: Its name at the time.
        served_entity: Name or identifier of the served entity.
        requester: User name or application id.
        client: Kind of the client.
        tag: Key and value of a tag; without a value any will do.
        start_ms: Earliest time, milliseconds since the epoch.
        end_ms: Time before which, milliseconds since the epoch.
        status: Lowest HTTP status, and the one that is too high.
        state: What is known of them.
        min_latency_ms: How long they took at least.
        request_id: Identifier of the query, ours or the client's.
        client_request_id: The client's.
        fallback_only: Whether more than one served entity was asked; False selects all.
        provider: Provider of the served entity.
        model: Its model.
        before: Only what comes after this time and identifier in the list.
    """

    endpoint_id: str | None = None
    endpoint: str | None = None
    served_entity: str | None = None
    requester: str | None = None
    client: str | None = None
    tag: tuple[str, str | None] | None = None
    start_ms: float | None = None
    end_ms: float | None = None
    status: tuple[int, int] | None = None
    state: UsageState | None = None
    min_latency_ms: float | None = None
    request_id: str | None = None
    client_request_id: str | None = None
    fallback_only: bool = False
    provider: str | None = None
    model: str | None = None
    before: tuple[int, str] | None = None

    @property
    def is_of_queries(self) -> bool:
        """Whether it asks for what only queries tell, and totals do not."""
        asked = (self.tag, self.min_latency_ms, self.request_id, self.client_request_id)
        return self.fallback_only or any(value is not None for value in asked)


async def conditions(
    session: Session, selected: UsageFilter, row: type[UsageRow] | type[UsageTotalRow]
) -> list[ColumnElement[bool]]:
    """Return what a filter demands of queries and of totals alike: whose, and what of it."""
    found: list[ColumnElement[bool]] = []
    if selected.status is not None:
        lowest, end = selected.status
        found += [col(row.status_code) >= lowest, col(row.status_code) < end]
    if selected.state is not None:
        found.append(col(row.state) == selected.state)
    if selected.endpoint_id is not None:
        found.append(col(row.endpoint_id) == selected.endpoint_id)
    if selected.endpoint is not None:
        ids = await _find_endpoint_ids(session, selected.endpoint)
        # One can be followed through the index, newest first.
        known = col(row.endpoint_id)
        found.append(known == ids[0] if len(ids) == 1 else known.in_(ids))
    if of_origins := _origin_conditions(selected):
        origins = select(UsageOriginRow.id).where(*of_origins)
        found.append(col(row.origin_id).in_(origins))
    return found


def row_conditions(selected: UsageFilter, *, is_postgresql: bool) -> list[ColumnElement[bool]]:
    """Return what a filter demands besides, which only queries tell; join them with origins."""
    time_ms = col(UsageRow.time_ms)
    found = _request_conditions(selected)
    if selected.tag is not None:
        found.append(has_tag(*selected.tag, is_postgresql=is_postgresql))
    if selected.min_latency_ms is not None:
        found.append(col(UsageRow.latency_ms) >= selected.min_latency_ms)
    if selected.fallback_only:
        found.append(has_fallback(is_postgresql=is_postgresql))
    if selected.start_ms is not None:
        found.append(time_ms >= selected.start_ms)
    if selected.end_ms is not None:
        found.append(time_ms < selected.end_ms)
    if selected.before:
        before_ms, query_id = selected.before
        # The first is implied, but an index can begin there.
        found.append(time_ms <= before_ms)
        found.append(or_(time_ms < before_ms, col(UsageRow.id) < query_id))
    return found


def _request_conditions(selected: UsageFilter) -> list[ColumnElement[bool]]:
    ours, theirs = col(UsageRow.request_id), col(UsageRow.client_request_id)
    found: list[ColumnElement[bool]] = []
    if selected.request_id is not None:
        found.append(or_(ours == selected.request_id, theirs == selected.request_id))
    if selected.client_request_id is not None:
        found.append(theirs == selected.client_request_id)
    return found


async def _find_endpoint_ids(session: Session, name: str) -> Sequence[str]:
    """Return the identifiers of the endpoints that have had a name, one after the other."""
    query = (
        select(UsageOriginRow.endpoint_id)
        .where(col(UsageOriginRow.endpoint_name) == name)
        .distinct()
    )
    return (await session.exec(query)).all()


def _origin_conditions(selected: UsageFilter) -> list[ColumnElement[bool]]:
    row = UsageOriginRow
    found: list[ColumnElement[bool]] = []
    if selected.requester is not None:
        found.append(col(row.requester) == selected.requester)
    if selected.served_entity is not None:
        known = (col(row.served_entity_name), col(row.served_entity_id))
        found.append(or_(*(one == selected.served_entity for one in known)))
    found += [
        getattr(row, name) == value
        for name in ("client", "provider", "model")
        if (value := getattr(selected, name)) is not None
    ]
    return found
