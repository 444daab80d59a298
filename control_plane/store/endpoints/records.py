"""Queries for endpoints and the versions of their configuration.

Before: `endpoints.lookup`, `snapshots.builder`, `lists`. After: `tables`, `codec`. Beside:
`changes`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, TypeAlias

from modelserving.store.v1.hosting_pb2 import HostedModel
from modelserving.store.v1.settings_pb2 import EndpointSettings
from modelserving.v1.endpoint_pb2 import EndpointConfig
from sqlalchemy import ColumnElement, UnaryExpression, and_
from sqlalchemy.orm import Bundle, Mapped, aliased
from sqlmodel import col, select
from sqlmodel.sql.expression import Select

from modelplane.control_plane.principal import Level, PrincipalKind
from modelplane.control_plane.store import codec
from modelplane.control_plane.store.database import Session, in_parts, is_storable
from modelplane.control_plane.store.hosting import groups, version_groups
from modelplane.control_plane.store.hosting.groups import StoredGroup
from modelplane.control_plane.store.states import LastUpdate, Outcome, Phase
from modelplane.control_plane.store.tables import (
    EndpointConfigRow,
    EndpointRow,
    PrincipalRow,
    RefusalRow,
)

# Message of a refusal, and kind and display name of the creator, as far as they exist.
_Beside: TypeAlias = tuple[str | None, str | None, str | None]

_Active = aliased(EndpointConfigRow)
_Pending = aliased(EndpointConfigRow)


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version of an endpoint's configuration."""

    config: EndpointConfig
    creator: str
    created_ms: int
    outcome: Outcome
    outcome_message: str
    # What its hosted entities mean.
    hosted: tuple[HostedModel, ...] = ()

    @property
    def version(self) -> int:
        """Number of the version."""
        return self.config.config_version


@dataclass(frozen=True, slots=True)
class StoredEndpoint:
    """Everything about an endpoint but its past versions."""

    id: str
    name: str
    creator: str
    creator_id: str
    # Levels by identifiers of principals and groups.
    grants: Mapping[str, Level]
    created_ms: int
    updated_ms: int
    settings: EndpointSettings
    last_version: int
    phase: Phase
    last_update: LastUpdate
    last_update_message: str
    ready: bool
    # Whether the active version is at rest, without processes.
    stopped: bool
    active: StoredVersion | None
    # Being rolled out; with the phase settled, the version whose rollout failed last.
    pending: StoredVersion | None
    # Why a worker does not serve the active version as it is; empty: all do.
    refusal: str
    # Of a principal that is gone, a user and its name.
    creator_kind: PrincipalKind
    creator_display_name: str
    # Of both versions, by identifier.
    groups: Mapping[str, StoredGroup] = field(default_factory=dict)

    @property
    def newest(self) -> StoredVersion | None:
        """The configuration that describes the endpoint best: the active one, else the pending."""
        return self.active or self.pending

    @property
    def is_foundation(self) -> bool:
        """Whether it is of the operator's catalogue of foundation models."""
        return self.newest is not None and is_foundation(self.newest.config)

    @property
    def hosts_models(self) -> bool:
        """Whether one of its versions has hosted models."""
        return any(version and version.hosted for version in (self.active, self.pending))


def is_foundation(config: EndpointConfig) -> bool:
    """Tell whether a configuration serves a foundation model of the operator's catalogue."""
    return any(entity.HasField("foundation_model") for entity in config.served_entities)


async def read_names(session: Session, prefix: str) -> list[str]:
    """Return the names of the endpoints that begin with a prefix."""
    names = (await session.exec(select(EndpointRow.name))).all()
    return sorted(name for name in names if name.startswith(prefix))


async def load_endpoints(session: Session, ids: Collection[str] | None) -> list[StoredEndpoint]:
    """Return the endpoints `ids` that exist; None: all."""
    query = _joined()
    queries = [query]
    if ids is not None:
        queries = [query.where(col(EndpointRow.id).in_(part)) for part in in_parts(ids)]
    found = [_stored(*row) for one in queries for row in (await session.exec(one)).all()]
    return await _with_groups(session, found)


async def read_where(
    session: Session,
    conditions: Sequence[ColumnElement[bool]],
    order: Sequence[UnaryExpression[Any]],
    most: int,
) -> list[StoredEndpoint]:
    """Return the first endpoints, in an order, for whose rows conditions hold."""
    query = _joined().where(*conditions).order_by(*order).limit(most)
    found = [_stored(*row) for row in (await session.exec(query)).all()]
    return await _with_groups(session, found)


async def find(session: Session, name: str) -> StoredEndpoint | None:
    """Return the endpoint called `name`, if there is one."""
    if not is_storable(name):
        return None
    return await _first(session, col(EndpointRow.name) == name)


async def find_by_id(session: Session, endpoint_id: str) -> StoredEndpoint | None:
    """Return the endpoint with an identifier, if there is one."""
    if not is_storable(endpoint_id):
        return None
    return await _first(session, col(EndpointRow.id) == endpoint_id)


async def lock(session: Session, name: str) -> None:
    """Keep other transactions from changing the endpoint until this one ends.

    Read it afterwards, in a statement of its own: that sees what those before have committed.
    """
    await _lock(session, col(EndpointRow.name), name)


async def lock_by_id(session: Session, endpoint_id: str) -> None:
    """Lock an endpoint, as `lock` does, by its identifier."""
    await _lock(session, col(EndpointRow.id), endpoint_id)


async def _lock(session: Session, column: Mapped[str], value: str) -> None:
    if is_storable(value):
        await session.exec(select(EndpointRow.id).where(column == value).with_for_update())


async def list_versions(
    session: Session, endpoint_id: str, before: int | None = None, most: int | None = None
) -> list[StoredVersion]:
    """Return the versions of an endpoint, newest first.

    Args:
        session: Where to read.
        endpoint_id: Identifier of the endpoint.
        before: Only those that are older than this one.
        most: How many at most; None: all.
    """
    version = col(EndpointConfigRow.version)
    query = select(EndpointConfigRow).where(col(EndpointConfigRow.endpoint_id) == endpoint_id)
    if before is not None:
        query = query.where(version < before)
    query = query.order_by(version.desc()).limit(most)
    return [_version(row) for row in (await session.exec(query)).all()]


async def find_version(session: Session, endpoint_id: str, version: int) -> StoredVersion | None:
    """Return one version of an endpoint, if there is one."""
    row = await session.get(EndpointConfigRow, (endpoint_id, version))
    return _version(row) if row else None


async def _first(session: Session, condition: ColumnElement[bool]) -> StoredEndpoint | None:
    row = (await session.exec(_joined().where(condition))).first()
    if row is None:
        return None
    (found,) = await _with_groups(session, [_stored(*row)])
    return found


async def _with_groups(session: Session, found: list[StoredEndpoint]) -> list[StoredEndpoint]:
    """Add the groups of those that host models, which costs the others nothing."""
    hosting = [item.id for item in found if item.hosts_models]
    if not hosting:
        return found
    read = await groups.load_of_endpoints(session, hosting)
    return [_with(item, read[item.id]) if item.id in read else item for item in found]


def _with(endpoint: StoredEndpoint, found: list[StoredGroup]) -> StoredEndpoint:
    by_id = {group.id: group for group in found}
    active = endpoint.active.hosted if endpoint.active else ()
    serving = [by_id.get(model.group_id) for model in active]
    ready = endpoint.ready and all(group is not None and group.serves for group in serving)
    return replace(endpoint, groups=by_id, ready=ready)


@cache
def _joined() -> Select[EndpointRow, EndpointConfigRow, EndpointConfigRow, _Beside]:
    # One statement, so that an endpoint and its versions are of the same moment.
    beside: Bundle[_Beside] = Bundle(
        "beside",
        col(RefusalRow.message),
        col(PrincipalRow.kind),
        col(PrincipalRow.display_name),
    )
    return (
        select(EndpointRow, _Active, _Pending, beside)
        .outerjoin(PrincipalRow, col(PrincipalRow.id) == col(EndpointRow.creator_id))
        .outerjoin(RefusalRow, col(RefusalRow.endpoint_id) == col(EndpointRow.id))
        .outerjoin(_Active, _is_version(_Active, col(EndpointRow.active_version)))
        .outerjoin(_Pending, _is_version(_Pending, col(EndpointRow.pending_version)))
    )


def _is_version(alias: type[EndpointConfigRow], version: Mapped[int | None]) -> ColumnElement[bool]:
    return and_(col(alias.endpoint_id) == col(EndpointRow.id), col(alias.version) == version)


def _stored(
    row: EndpointRow,
    active: EndpointConfigRow | None,
    pending: EndpointConfigRow | None,
    beside: _Beside,
) -> StoredEndpoint:
    refusal, creator_kind, display_name = beside
    return StoredEndpoint(
        id=row.id,
        name=row.name,
        creator=row.creator,
        creator_id=row.creator_id,
        grants=codec.decode_levels(row.grants_json, Level),
        created_ms=row.created_ms,
        updated_ms=row.updated_ms,
        settings=EndpointSettings.FromString(row.settings),
        last_version=row.last_version,
        phase=Phase(row.phase),
        last_update=LastUpdate(row.last_update),
        last_update_message=row.last_update_message,
        ready=row.ready and not row.stopped,
        stopped=row.stopped,
        active=_version(active) if active else None,
        pending=_version(pending) if pending else None,
        refusal=refusal or "",
        creator_kind=PrincipalKind(creator_kind) if creator_kind else PrincipalKind.USER,
        creator_display_name=display_name or row.creator,
    )


def _version(row: EndpointConfigRow) -> StoredVersion:
    return StoredVersion(
        config=EndpointConfig.FromString(row.config),
        creator=row.creator,
        created_ms=row.created_ms,
        outcome=Outcome(row.outcome),
        outcome_message=row.outcome_message,
        hosted=version_groups.models_of(row.hosted),
    )
