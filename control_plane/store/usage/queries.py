"""Queries on the usage ledger: rows, totals, and the history of served entities.

Before: `usage.reader`. After: `tables`. Beside: `ledger`, which writes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from modelserving.store.v1.hosting_pb2 import HostedModel
from modelserving.v1.endpoint_pb2 import EndpointConfig
from sqlalchemy import ColumnElement, case, func
from sqlmodel import and_, col, or_, select

from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.hosting.version_groups import models_of
from modelplane.control_plane.store.states import Outcome, UsageState
from modelplane.control_plane.store.tables import EndpointConfigRow, EndpointRow
from modelplane.control_plane.store.usage.request_tags import has_tag, own_value
from modelplane.control_plane.store.usage.tables import UsageOriginRow, UsageRow
from modelplane.control_plane.store.usage.tags import decode_tags

_HOUR_MS = 3_600_000
_DAY_MS = 86_400_000
_FIRST_ERROR_STATUS = 400
_SERVED = (Outcome.ACTIVE, Outcome.SUPERSEDED)


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
    before: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class StoredQuery:
    """One admitted query; the fields are those of its row, decoded."""

    id: str
    state: UsageState
    request_id: str
    client_request_id: str
    usage_context: Mapping[str, str]
    time_ms: int
    endpoint_id: str
    endpoint_name: str
    tags: Mapping[str, str]
    config_version: int
    served_entity_id: str
    served_entity_name: str
    task: str
    requester_id: str
    requester: str
    client: str
    streaming: bool
    status_code: int | None
    error: str
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    estimated: bool
    input_characters: int
    output_characters: int
    latency_ms: float | None
    first_chunk_ms: float | None
    attempts: Sequence[Mapping[str, Any]]
    guardrail_action: str
    guardrail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """One version of an endpoint's configuration that has served.

    Attributes:
        hosted: Its models, if they are hosted here.
    """

    endpoint_id: str
    endpoint_name: str
    creator: str
    created_ms: int
    config: EndpointConfig
    hosted: Sequence[HostedModel] = ()

    @property
    def version(self) -> int:
        """Number of the version."""
        return self.config.config_version


# What totals add up, by name.
SUMS: Mapping[str, ColumnElement[Any]] = {
    "requests": func.count(),
    "failed_requests": func.sum(
        case((col(UsageRow.status_code) >= _FIRST_ERROR_STATUS, 1), else_=0)
    ),
    "unknown_requests": func.sum(case((col(UsageRow.state) == UsageState.UNKNOWN, 1), else_=0)),
    "input_token_count": func.sum(col(UsageRow.input_tokens)),
    "output_token_count": func.sum(col(UsageRow.output_tokens)),
    "cached_token_count": func.sum(col(UsageRow.cached_tokens)),
    "reasoning_token_count": func.sum(col(UsageRow.reasoning_tokens)),
    "input_character_count": func.sum(col(UsageRow.input_characters)),
    "output_character_count": func.sum(col(UsageRow.output_characters)),
    "latency_ms": func.sum(col(UsageRow.latency_ms)),
}
# What rows can be grouped by, by name.
DIMENSIONS: Mapping[str, Any] = {
    "endpoint": col(UsageOriginRow.endpoint_name),
    "served_entity": col(UsageOriginRow.served_entity_name),
    "requester": col(UsageOriginRow.requester),
    "task": col(UsageOriginRow.task),
    "client": col(UsageOriginRow.client),
    "status_code": col(UsageRow.status_code),
    "guardrail_action": col(UsageRow.guardrail_action),
    "day": col(UsageRow.time_ms) // _DAY_MS * _DAY_MS,
    "hour": col(UsageRow.time_ms) // _HOUR_MS * _HOUR_MS,
    "tags": col(UsageOriginRow.tags_json),
}
_OF_ORIGINS = frozenset({"endpoint", "served_entity", "requester", "task", "client", "tags"})
# Before the key of a query's own tag, which is grouped by beside the dimensions.
OWN_TAG = "own:"


async def list_queries(
    session: Session, selected: UsageFilter, limit: int, *, is_postgresql: bool
) -> list[StoredQuery]:
    """Return the newest `limit` queries that a filter selects."""
    query = (
        select(UsageRow, UsageOriginRow)
        .where(
            col(UsageRow.origin_id) == col(UsageOriginRow.id),
            *await _conditions(session, selected, is_postgresql=is_postgresql),
        )
        .order_by(col(UsageRow.time_ms).desc(), col(UsageRow.id).desc())
        .limit(limit)
    )
    return [_query(row, origin) for row, origin in (await session.exec(query)).all()]


async def sum_queries(
    session: Session,
    selected: UsageFilter,
    dimensions: Sequence[str],
    limit: int,
    *,
    is_postgresql: bool,
) -> list[tuple[tuple[Any, ...], dict[str, float | None]]]:
    """Return up to `limit` groups: the values of the dimensions, and the sums.

    A dimension that begins with `OWN_TAG` is a tag of the queries themselves.
    """
    groups = [_group(name, is_postgresql=is_postgresql) for name in dimensions]
    query = (
        # The overloads end at four columns.
        select(*groups, *SUMS.values())
        .select_from(UsageRow)
        .where(*await _conditions(session, selected, is_postgresql=is_postgresql))
        .group_by(*groups)
        .order_by(*groups)
        .limit(limit)
    )
    if selected.tag or _OF_ORIGINS.intersection(dimensions):
        query = query.join(UsageOriginRow, col(UsageOriginRow.id) == col(UsageRow.origin_id))
    found = []
    for row in (await session.exec(query)).all():
        values = tuple(row)
        sums = {
            name: None if value is None else float(value) if name == "latency_ms" else int(value)
            for name, value in zip(SUMS, values[len(groups) :], strict=True)
        }
        found.append((values[: len(groups)], sums))
    return found


async def list_served_versions(
    session: Session, endpoint: str | None, after: tuple[str, int] | None, limit: int
) -> list[ServedVersion]:
    """Return up to `limit` versions that have served, by endpoint and version.

    Args:
        session: Reads.
        endpoint: Name of the endpoint; None: all.
        after: Identifier of an endpoint and a version; only what comes after it.
        limit: Most versions to return.
    """
    endpoint_id, version = col(EndpointConfigRow.endpoint_id), col(EndpointConfigRow.version)
    query = (
        select(EndpointRow, EndpointConfigRow)
        .where(col(EndpointRow.id) == endpoint_id, col(EndpointConfigRow.outcome).in_(_SERVED))
        .order_by(endpoint_id, version)
        .limit(limit)
    )
    if endpoint is not None:
        query = query.where(col(EndpointRow.name) == endpoint)
    if after:
        query = query.where(
            or_(endpoint_id > after[0], and_(endpoint_id == after[0], version > after[1]))
        )
    return [
        ServedVersion(
            row.id,
            row.name,
            config.creator,
            config.created_ms,
            EndpointConfig.FromString(config.config),
            models_of(config),
        )
        for row, config in (await session.exec(query)).all()
    ]


def _group(name: str, *, is_postgresql: bool) -> Any:  # noqa: ANN401 - a column of any type
    if name.startswith(OWN_TAG):
        return own_value(name.removeprefix(OWN_TAG), is_postgresql=is_postgresql)
    return DIMENSIONS[name]


async def _conditions(session: Session, selected: UsageFilter, *, is_postgresql: bool) -> list[Any]:
    row = UsageRow
    conditions: list[Any] = []
    if selected.endpoint_id is not None:
        conditions.append(col(row.endpoint_id) == selected.endpoint_id)
    if selected.endpoint is not None:
        found = await _find_endpoint_ids(session, selected.endpoint)
        # One can be followed through the index, newest first.
        known = col(row.endpoint_id)
        conditions.append(known == found[0] if len(found) == 1 else known.in_(found))
    if selected.tag is not None:
        conditions.append(has_tag(*selected.tag, is_postgresql=is_postgresql))
    if of_origins := _origin_conditions(selected):
        origins = select(UsageOriginRow.id).where(*of_origins)
        conditions.append(col(row.origin_id).in_(origins))
    if selected.start_ms is not None:
        conditions.append(col(row.time_ms) >= selected.start_ms)
    if selected.end_ms is not None:
        conditions.append(col(row.time_ms) < selected.end_ms)
    if selected.before:
        time_ms, query_id = selected.before
        # The first is implied, but an index can begin there.
        conditions.append(col(row.time_ms) <= time_ms)
        conditions.append(or_(col(row.time_ms) < time_ms, col(row.id) < query_id))
    return conditions


async def _find_endpoint_ids(session: Session, name: str) -> Sequence[str]:
    """Return the identifiers of the endpoints that have had a name, one after the other."""
    query = (
        select(UsageOriginRow.endpoint_id)
        .where(col(UsageOriginRow.endpoint_name) == name)
        .distinct()
    )
    return (await session.exec(query)).all()


def _origin_conditions(selected: UsageFilter) -> list[Any]:
    row = UsageOriginRow
    conditions: list[Any] = []
    if selected.requester is not None:
        conditions.append(col(row.requester) == selected.requester)
    if selected.served_entity is not None:
        known = (col(row.served_entity_name), col(row.served_entity_id))
        conditions.append(or_(*(one == selected.served_entity for one in known)))
    if selected.client is not None:
        conditions.append(col(row.client) == selected.client)
    return conditions


def _query(row: UsageRow, origin: UsageOriginRow) -> StoredQuery:
    values = row.model_dump(exclude={"origin_id"})
    values |= origin.model_dump(exclude={"id", "stored_ms"})
    values["state"] = UsageState(row.state)
    values["usage_context"] = orjson.loads(values.pop("usage_context_json"))
    values["tags"] = decode_tags(values.pop("tags_json"))
    values["guardrail"] = orjson.loads(values.pop("guardrail_json"))
    values["attempts"] = [
        _attempt(found, origin.served_entity_name)
        for found in orjson.loads(values.pop("attempts_json"))
    ]
    return StoredQuery(**values)


def _attempt(found: Any, served_entity_name: str) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    """Return an attempt; of one that succeeded at once, only the latency is stored."""
    if isinstance(found, Mapping):
        return found
    return {"served_entity_name": served_entity_name, "error": "", "latency_ms": found}
