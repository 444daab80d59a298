"""Statements on groups: the replicas that serve one hosted model of one endpoint.

Before: `version_groups`, `hosting`. After: `tables`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import orjson
from modelserving.store.v1.hosting_pb2 import HostedModel
from modelserving.store.v1.rollouts_pb2 import GroupHistory
from modelserving.worker.v1.hosting_pb2 import Replica, ReplicaGroup
from sqlmodel import col, delete, or_, select, update
from sqlmodel import insert as sql_insert

from modelplane.control_plane.store.database import Session, Transaction, in_parts
from modelplane.control_plane.store.endpoints import change_log
from modelplane.control_plane.store.hosting.tables import ReplicaGroupRow
from modelplane.control_plane.store.states import EventKind, GroupPhase, GroupStep
from modelplane.control_plane.store.tables import EndpointRow

# Its launcher has given up, or was told to.
_FAILED = (GroupPhase.FAILED, GroupPhase.ABORTED)


@dataclass(frozen=True, slots=True, repr=False)
class StoredGroup:
    """A group and how it is.

    Attributes:
        id: Identifier.
        endpoint_id: Endpoint that it belongs to.
        served_entity_name: Entity that it serves.
        model: What it serves, and how many replicas there may be.
        environment: Environment variables, references to secrets as they were given.
        begun_ms: When it was last begun to be deployed, milliseconds since the epoch.
        generation: Grows with each change of what the launcher is to do.
        desired: Replicas that there should be.
        phase: What it is for those who look at its endpoint.
        progress: What the launcher does for it while it is not ready.
        message: How far it is with that, or why it has failed.
        ready_once: Whether a replica has been ready since it was last begun to be deployed.
        start_ms: How long the newest replica took to start; 0: none has been ready yet.
        last_request_ms: When the last request was heard of.
        replicas: Those that can be asked.
        history: What was done for it since it was begun; not to be changed in place.
    """

    id: str
    endpoint_id: str
    served_entity_name: str
    model: HostedModel
    environment: Mapping[str, str]
    begun_ms: int
    generation: int
    desired: int
    phase: GroupPhase
    progress: GroupStep
    message: str
    ready_once: bool
    start_ms: int
    last_request_ms: int
    replicas: tuple[Replica, ...]
    history: GroupHistory = field(default_factory=GroupHistory)

    @property
    def serves(self) -> bool:
        """Whether requests are answered: at once, or once it has started from zero."""
        return self.phase in (GroupPhase.READY, GroupPhase.IDLE)

    @property
    def has_failed(self) -> bool:
        """Whether its launcher has given up, or was told to."""
        return self.phase in _FAILED

    @property
    def has_ended(self) -> bool:
        """Whether it was given up with the version that needed it."""
        return self.has_failed and self.desired == 0


async def load(session: Session, ids: Collection[str] | None) -> list[StoredGroup]:
    """Return the groups `ids` that exist; None: all."""
    if ids is None:
        return [_stored(row) for row in (await session.exec(select(ReplicaGroupRow))).all()]
    found: list[StoredGroup] = []
    for part in in_parts(ids):
        query = select(ReplicaGroupRow).where(col(ReplicaGroupRow.id).in_(part))
        found += [_stored(row) for row in (await session.exec(query)).all()]
    return found


async def load_of_endpoints(
    session: Session, endpoint_ids: Collection[str]
) -> dict[str, list[StoredGroup]]:
    """Return the groups of endpoints, by identifier of the endpoint."""
    found: dict[str, list[StoredGroup]] = {endpoint_id: [] for endpoint_id in endpoint_ids}
    for part in in_parts(endpoint_ids):
        query = select(ReplicaGroupRow).where(col(ReplicaGroupRow.endpoint_id).in_(part))
        for row in (await session.exec(query)).all():
            found[row.endpoint_id].append(_stored(row))
    return found


async def read_generations(session: Session) -> dict[str, int]:
    """Return the generation of each group that has not ended, by identifier."""
    columns = (ReplicaGroupRow.id, ReplicaGroupRow.generation)
    query = select(*columns).where(
        or_(col(ReplicaGroupRow.phase).not_in(_FAILED), col(ReplicaGroupRow.desired) > 0)
    )
    return dict((await session.exec(query)).all())


async def read_endpoint_names(session: Session, ids: Collection[str]) -> dict[str, str]:
    """Return the names of endpoints by their identifiers."""
    names: dict[str, str] = {}
    for part in in_parts(ids):
        query = select(EndpointRow.id, EndpointRow.name).where(col(EndpointRow.id).in_(part))
        names |= dict((await session.exec(query)).all())
    return names


async def ids_of_endpoint(session: Session, endpoint_id: str) -> list[str]:
    """Return the identifiers of an endpoint's groups, in order."""
    query = select(ReplicaGroupRow.id).where(col(ReplicaGroupRow.endpoint_id) == endpoint_id)
    return sorted((await session.exec(query)).all())


async def lock_of_endpoint(transaction: Transaction, endpoint_id: str) -> list[StoredGroup]:
    """Return the groups of an endpoint, and keep others from changing them."""
    return await lock(transaction, await ids_of_endpoint(transaction.session, endpoint_id))


async def lock(transaction: Transaction, ids: Collection[str]) -> list[StoredGroup]:
    """Return the groups `ids` that exist, and keep others from changing them.

    Always before the transaction's first revision: those who report of groups wait for these first,
    and then for the revisions, so that who does it the other way round waits for ever.
    """
    found: list[StoredGroup] = []
    # In one order, so that transactions with groups in common wait for each other in turn.
    for part in in_parts(sorted(ids)):
        query = select(ReplicaGroupRow).where(col(ReplicaGroupRow.id).in_(part))
        query = query.order_by(col(ReplicaGroupRow.id)).with_for_update()
        rows = await transaction.session.exec(query.execution_options(populate_existing=True))
        found += [_stored(row) for row in rows.all()]
    return found


async def insert(transaction: Transaction, groups: Collection[StoredGroup]) -> None:
    """Store groups that are not there yet; others cannot make them, as the endpoint is locked."""
    if rows := [{"id": group.id, **_values(group)} for group in groups]:
        await transaction.session.exec(sql_insert(ReplicaGroupRow), params=rows)


async def remove(transaction: Transaction, groups: Iterable[StoredGroup]) -> None:
    """Delete groups that are locked."""
    for part in in_parts([group.id for group in groups]):
        statement = delete(ReplicaGroupRow).where(col(ReplicaGroupRow.id).in_(part))
        await transaction.session.exec(statement)


async def save(transaction: Transaction, groups: Iterable[StoredGroup]) -> None:
    """Store groups that are locked."""
    for group in groups:
        await transaction.session.exec(
            update(ReplicaGroupRow)
            .where(col(ReplicaGroupRow.id) == group.id)
            .values(**_values(group))
        )


async def tell(transaction: Transaction, groups: Collection[StoredGroup]) -> None:
    """Let workers and launchers learn of groups that have changed or are gone."""
    if groups:
        await transaction.revise_all(EventKind.GROUP, sorted({group.id for group in groups}))


async def note_shown(
    transaction: Transaction, seen: Iterable[tuple[StoredGroup, StoredGroup]]
) -> None:
    """Note that endpoints show something else, by what their groups were and are."""
    changed = {
        new.endpoint_id for old, new in seen if (new.phase, new.message) != (old.phase, old.message)
    }
    if changed:
        await change_log.note_all(transaction, changed)


def _values(group: StoredGroup) -> dict[str, object]:
    return {
        "endpoint_id": group.endpoint_id,
        "served_entity_name": group.served_entity_name,
        "model": group.model.SerializeToString(),
        "environment_json": orjson.dumps(dict(group.environment)).decode(),
        "begun_ms": group.begun_ms,
        "generation": group.generation,
        "desired": group.desired,
        "phase": group.phase,
        "progress": group.progress,
        "message": group.message,
        "ready_once": group.ready_once,
        "start_ms": group.start_ms,
        "last_request_ms": group.last_request_ms,
        "replicas": ReplicaGroup(replicas=group.replicas).SerializeToString(),
        "history": group.history.SerializeToString(),
    }


def _stored(row: ReplicaGroupRow) -> StoredGroup:
    return StoredGroup(
        id=row.id,
        endpoint_id=row.endpoint_id,
        served_entity_name=row.served_entity_name,
        model=HostedModel.FromString(row.model),
        environment=orjson.loads(row.environment_json),
        begun_ms=row.begun_ms,
        generation=row.generation,
        desired=row.desired,
        phase=GroupPhase(row.phase),
        progress=GroupStep(row.progress),
        message=row.message,
        ready_once=row.ready_once,
        start_ms=row.start_ms,
        last_request_ms=row.last_request_ms,
        replicas=tuple(ReplicaGroup.FromString(row.replicas).replicas),
        history=GroupHistory.FromString(row.history),
    )
