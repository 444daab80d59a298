"""Which groups the versions of an endpoint need: begun, resized, ended and removed with them.

A group is there while a version needs it: the active one unless the endpoint is stopped, the one
being rolled out, or the one whose rollout failed last. Before: `endpoints.changes`,
`endpoints.rollouts`. After: `groups`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from modelserving.store.v1.hosting_pb2 import HostedModel, HostedModels
from modelserving.store.v1.rollouts_pb2 import GroupHistory
from modelserving.v1.endpoint_pb2 import EndpointConfig
from modelserving.v1.rollout_pb2 import DeploymentStep
from sqlmodel import col, select

from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.hosting import groups
from modelplane.control_plane.store.hosting.groups import StoredGroup
from modelplane.control_plane.store.states import WAITING, GroupPhase, GroupStep
from modelplane.control_plane.store.tables import EndpointConfigRow, EndpointRow


async def ensure(
    transaction: Transaction,
    endpoint_id: str,
    config: EndpointConfig,
    hosted: Sequence[HostedModel],
    now_ms: int,
    *,
    proven: bool = False,
) -> None:
    """Have a group for each hosted model of a new version.

    One that is there goes on as it is; one that has failed is deployed again.

    Args:
        transaction: Where to write.
        endpoint_id: Endpoint, whose row is locked.
        config: The version's configuration, for the environment variables of its entities.
        hosted: The version's models.
        now_ms: The time.
        proven: Whether they need not be started to see that they can be.
    """
    entities = {entity.name: entity for entity in config.served_entities}
    known = {group.id: group for group in await groups.lock_of_endpoint(transaction, endpoint_id)}
    begun = []
    for model in hosted:
        old = known.get(model.group_id)
        if old is None or old.has_failed:
            environment = entities[model.served_entity_name].environment_vars
            generation = old.generation + 1 if old else 1
            group = _begun(endpoint_id, model, environment, now_ms, generation)
            begun.append(_taken_as_proven(group) if proven else group)
    await groups.insert(transaction, [group for group in begun if group.id not in known])
    await groups.save(transaction, [group for group in begun if group.id in known])
    await groups.tell(transaction, begun)


async def settle(transaction: Transaction, endpoint_id: str) -> None:
    """Remove the groups of an endpoint that no version needs; have the others as the active needs.

    To be called when the endpoint's active or pending version has changed, or it was stopped.
    """
    locked = await groups.lock_of_endpoint(transaction, endpoint_id)
    if not locked:
        return
    active, pending = await _versions(transaction.session, endpoint_id)
    kept, gone = [], []
    for group in locked:
        if group.id in active:
            kept.append((group, _resized(group, active[group.id])))
        elif group.id not in pending:
            gone.append(group)
    changed = [new for old, new in kept if new != old]
    await groups.save(transaction, changed)
    await groups.remove(transaction, gone)
    await groups.tell(transaction, [*changed, *gone])


async def give_up(transaction: Transaction, endpoint_id: str, message: str) -> None:
    """End the groups that only the version needs whose rollout has failed, but keep what is known.

    Args:
        transaction: Where to write.
        endpoint_id: Endpoint, whose pending version has failed.
        message: Why those end that have not failed themselves.
    """
    active, _ = await _versions(transaction.session, endpoint_id)
    changed = []
    for group in await groups.lock_of_endpoint(transaction, endpoint_id):
        if group.id in active:
            new = _resized(group, active[group.id])
        elif group.phase is GroupPhase.FAILED:
            new = replace(group, desired=0, replicas=())
        else:
            new = replace(group, desired=0, replicas=(), phase=GroupPhase.ABORTED, message=message)
        if new != group:
            changed.append(replace(new, generation=group.generation + 1))
    await groups.save(transaction, changed)
    await groups.tell(transaction, changed)


def models_of(hosted: bytes | None) -> tuple[HostedModel, ...]:
    """Return the hosted models of a version, as its row has them; None: there is no row."""
    return tuple(HostedModels.FromString(hosted).models) if hosted else ()


async def _versions(
    session: Session, endpoint_id: str
) -> tuple[dict[str, HostedModel], dict[str, HostedModel]]:
    """Return the models that the active and the pending version need, by their groups.

    The active version of an endpoint that is stopped needs none.
    """
    query = select(
        col(EndpointRow.active_version),
        col(EndpointRow.pending_version),
        col(EndpointRow.stopped),
    ).where(col(EndpointRow.id) == endpoint_id)
    active, pending, stopped = (await session.exec(query)).first() or (None, None, False)
    found: list[dict[str, HostedModel]] = []
    for version in (None if stopped else active, pending):
        row = None
        if version is not None:
            row = await session.get(EndpointConfigRow, (endpoint_id, version))
        models = models_of(row.hosted if row else None)
        found.append({model.group_id: model for model in models})
    return found[0], found[1]


def _begun(
    endpoint_id: str,
    model: HostedModel,
    environment: Mapping[str, str],
    now_ms: int,
    generation: int,
) -> StoredGroup:
    return StoredGroup(
        id=model.group_id,
        endpoint_id=endpoint_id,
        served_entity_name=model.served_entity_name,
        model=model,
        environment=dict(environment),
        begun_ms=now_ms,
        generation=generation,
        # One start at least, to see that it can.
        desired=max(1, model.scale.min_replicas),
        phase=GroupPhase.CREATING,
        progress=GroupStep.WAITING,
        message="",
        ready_once=False,
        start_ms=0,
        last_request_ms=now_ms,
        replicas=(),
        history=GroupHistory(steps=[DeploymentStep(stage=WAITING, start_time=now_ms)]),
    )


def _taken_as_proven(group: StoredGroup) -> StoredGroup:
    """Return a group that serves as if it had been started before: at once, or from zero."""
    scale, proven = group.model.scale, replace(group, ready_once=True, history=GroupHistory())
    if scale.scale_to_zero:
        return replace(proven, desired=0, phase=GroupPhase.IDLE)
    return replace(proven, phase=GroupPhase.RECOVERING)


def _resized(group: StoredGroup, model: HostedModel) -> StoredGroup:
    """Return a group with the bounds of another version's model, which is the same but for them."""
    if group.model == model:
        return group
    least, most = max(1, model.scale.min_replicas), max(1, model.scale.max_replicas)
    at_zero = group.desired == 0 and model.scale.scale_to_zero
    desired = 0 if at_zero else min(max(group.desired, least), most)
    generation = group.generation + (desired != group.desired)
    return replace(group, model=model, desired=desired, generation=generation)
