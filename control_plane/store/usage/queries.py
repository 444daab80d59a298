"""Queries on the usage ledger: rows, and the history of served entities.

Before: `usage.reader`. After: `tables`, `filters`. Beside: `ledger`, which writes it; `sums`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
from modelserving.store.v1.hosting_pb2 import HostedModel
from modelserving.v1.endpoint_pb2 import EndpointConfig
from sqlmodel import and_, col, or_, select

from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.hosting.version_groups import models_of
from modelplane.control_plane.store.states import Outcome, UsageState
from modelplane.control_plane.store.tables import EndpointConfigRow, EndpointRow
from modelplane.control_plane.store.usage.filters import UsageFilter, conditions, row_conditions
from modelplane.control_plane.store.usage.prices import PriceList, as_decimal, read_prices
from modelplane.control_plane.store.usage.tables import UsageOriginRow, UsageRow
from modelplane.control_plane.store.usage.tags import decode_tags

_SERVED = (Outcome.ACTIVE, Outcome.SUPERSEDED)


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
    provider: str
    model: str
    # Of one that has ended, if its model had a price then.
    cost: Decimal | None
    currency: str | None


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


async def list_queries(
    session: Session, selected: UsageFilter, limit: int, *, is_postgresql: bool
) -> list[StoredQuery]:
    """Return the newest `limit` queries that a filter selects."""
    query = (
        select(UsageRow, UsageOriginRow)
        .where(
            col(UsageRow.origin_id) == col(UsageOriginRow.id),
            *await conditions(session, selected, UsageRow),
            *row_conditions(selected, is_postgresql=is_postgresql),
        )
        .order_by(col(UsageRow.time_ms).desc(), col(UsageRow.id).desc())
        .limit(limit)
    )
    prices = await read_prices(session)
    return [_query(row, origin, prices) for row, origin in (await session.exec(query)).all()]


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
            models_of(config.hosted),
        )
        for row, config in (await session.exec(query)).all()
    ]


def _query(row: UsageRow, origin: UsageOriginRow, prices: PriceList) -> StoredQuery:
    price = None
    if row.state == UsageState.ENDED:
        price = prices.find(origin.provider, origin.model, row.time_ms)
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
    tokens = (row.input_tokens, row.cached_tokens, row.output_tokens)
    return StoredQuery(
        **values,
        cost=as_decimal(price.cost(*(count or 0 for count in tokens))) if price else None,
        currency=price.currency if price else None,
    )


def _attempt(found: Any, served_entity_name: str) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    """Return an attempt; of one that succeeded at once, only the latency is stored."""
    if isinstance(found, Mapping):
        return found
    return {"served_entity_name": served_entity_name, "error": "", "latency_ms": found}
