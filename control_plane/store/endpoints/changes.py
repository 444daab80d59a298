"""Statements that change endpoints.

Before: `endpoints.lifecycle`. After: `tables`, `codec`. Beside: `records`, which reads them, and
`rollouts`, which moves a rollout on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig
from modelserving.v1.endpoint_pb2 import (
    EndpointConfig,
    EndpointTag,
    RateLimit,
)
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, delete, update

from modelplane.control_plane.errors import AlreadyExists
from modelplane.control_plane.principal import Level
from modelplane.control_plane.store import codec
from modelplane.control_plane.store.database import Transaction
from modelplane.control_plane.store.endpoints.records import EndpointRecord
from modelplane.control_plane.store.tables import (
    CredentialRow,
    EndpointConfigRow,
    EndpointRow,
    EventKind,
    LastUpdate,
    Outcome,
    Phase,
)


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint to store."""

    id: str
    name: str
    creator: str
    creator_id: str
    created_ms: int
    description: str
    tags: Sequence[EndpointTag]
    rate_limits: Sequence[RateLimit]
    ai_gateway: AiGatewayConfig | None


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to store and roll out."""

    version: int
    config: EndpointConfig
    creator: str
    created_ms: int
    # Sealed credentials by path.
    credentials: dict[str, bytes]
    # Time by which the workers must have prepared it.
    deadline_ms: int


async def insert(transaction: Transaction, endpoint: NewEndpoint) -> None:
    """Store a new endpoint without a configuration.

    Raises:
        AlreadyExists: The name is taken.
    """
    row = EndpointRow(
        id=endpoint.id,
        name=endpoint.name,
        creator=endpoint.creator,
        creator_id=endpoint.creator_id,
        grants_json=codec.encode_levels({endpoint.creator_id: Level.CAN_MANAGE}),
        created_ms=endpoint.created_ms,
        updated_ms=endpoint.created_ms,
        description=endpoint.description,
        tags_json=codec.encode_all(endpoint.tags),
        rate_limits_json=codec.encode_all(endpoint.rate_limits),
        ai_gateway_json=codec.encode_optional(endpoint.ai_gateway),
    )
    transaction.session.add(row)
    try:
        await transaction.session.flush()
    except IntegrityError as error:
        raise AlreadyExists(
            f"Endpoint with name '{endpoint.name}' already exists; choose another name."
        ) from error


async def begin_rollout(transaction: Transaction, endpoint_id: str, new: NewVersion) -> int:
    """Store a version and begin to roll it out; return the revision."""
    session = transaction.session
    session.add(
        EndpointConfigRow(
            endpoint_id=endpoint_id,
            version=new.version,
            config_json=codec.encode(new.config),
            creator=new.creator,
            created_ms=new.created_ms,
        )
    )
    session.add_all(
        CredentialRow(endpoint_id=endpoint_id, version=new.version, path=path, sealed=sealed)
        for path, sealed in new.credentials.items()
    )
    await session.flush()
    revision = await transaction.revise(EventKind.ENDPOINT, endpoint_id)
    await _update(
        transaction,
        endpoint_id,
        last_version=new.version,
        pending_version=new.version,
        phase=Phase.PREPARING,
        phase_revision=revision,
        phase_deadline_ms=new.deadline_ms,
        last_update=LastUpdate.NOT_UPDATING,
        last_update_message="",
        updated_ms=new.created_ms,
    )
    return revision


async def cancel_rollout(transaction: Transaction, record: EndpointRecord) -> int:
    """End the rollout of `record`, whose row is locked, without success; return the revision."""
    version = record.pending.version if record.pending else 0
    await transaction.session.exec(
        update(EndpointConfigRow)
        .where(
            col(EndpointConfigRow.endpoint_id) == record.id,
            col(EndpointConfigRow.version) == version,
        )
        .values(outcome=Outcome.CANCELED)
    )
    await _update(
        transaction,
        record.id,
        phase=Phase.SETTLED,
        pending_version=None,
        last_update=LastUpdate.CANCELED,
        last_update_message="",
    )
    return await transaction.revise(EventKind.ENDPOINT, record.id)


async def remove(transaction: Transaction, endpoint_id: str) -> int:
    """Delete an endpoint with its versions and credentials; return the revision."""
    await transaction.session.exec(delete(EndpointRow).where(col(EndpointRow.id) == endpoint_id))
    return await transaction.revise(EventKind.ENDPOINT, endpoint_id)


async def set_tags(transaction: Transaction, endpoint_id: str, tags: Sequence[EndpointTag]) -> None:
    """Replace the tags."""
    await _update(transaction, endpoint_id, tags_json=codec.encode_all(tags))


async def set_grants(
    transaction: Transaction, endpoint_id: str, grants: Mapping[str, Level]
) -> int:
    """Replace who may do what, by identifiers of principals and groups; return the revision."""
    text = codec.encode_levels(grants)
    await _update(transaction, endpoint_id, grants_json=text)
    return await transaction.revise(EventKind.ENDPOINT, endpoint_id)


async def set_rate_limits(
    transaction: Transaction, endpoint_id: str, limits: Sequence[RateLimit]
) -> int:
    """Replace the deprecated rate limits; return the revision."""
    await _update(transaction, endpoint_id, rate_limits_json=codec.encode_all(limits))
    return await transaction.revise(EventKind.ENDPOINT, endpoint_id)


async def set_ai_gateway(
    transaction: Transaction, endpoint_id: str, gateway: AiGatewayConfig | None
) -> int:
    """Replace the AI Gateway settings; return the revision."""
    await _update(transaction, endpoint_id, ai_gateway_json=codec.encode_optional(gateway))
    return await transaction.revise(EventKind.ENDPOINT, endpoint_id)


async def _update(transaction: Transaction, endpoint_id: str, **values: object) -> None:
    await transaction.session.exec(
        update(EndpointRow).where(col(EndpointRow.id) == endpoint_id).values(**values)
    )
