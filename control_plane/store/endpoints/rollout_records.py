"""Statements about how versions were rolled out: when steps were over, and what workers made of it.

Before: `rollouts`, `changes`, `snapshots.rollout_records`. After: `tables`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from modelserving.store.v1.rollouts_pb2 import RolloutEntities, RolloutWorkers
from modelserving.v1.rollout_pb2 import RolloutEntity, RolloutWorker
from sqlmodel import col, delete, select, update

from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.endpoints.tables import RolloutRow, RolloutWorkersRow
from modelplane.control_plane.store.hosting import groups, version_groups
from modelplane.control_plane.store.tables import EndpointConfigRow
from modelplane.control_plane.store.upsert import insert

# Versions of an endpoint of which it is known how they were rolled out.
KEPT = 20
# Identifier of an endpoint, and a version.
RolloutKey: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """How a version is or was rolled out.

    Attributes:
        prepare_revision: Revision that the workers have to acknowledge for it to be prepared.
        activate_revision: And to be active; None: it was not prepared.
        prepared_ms: When it was prepared everywhere.
        ended_ms: When it had ended.
        entities: Its hosted models as they were then, `deployment` as a `GroupPhase`.
        workers: What is stored of workers, by replica of the control plane.
    """

    prepare_revision: int
    activate_revision: int | None
    prepared_ms: int | None
    ended_ms: int | None
    entities: Sequence[RolloutEntity]
    workers: Mapping[str, Sequence[RolloutWorker]]


async def begin(
    transaction: Transaction, endpoint_id: str, version: int, prepare_revision: int
) -> None:
    """Note that a version is being rolled out; forget what is long ago."""
    transaction.session.add(
        RolloutRow(endpoint_id=endpoint_id, version=version, prepare_revision=prepare_revision)
    )
    await transaction.session.flush()
    if version > KEPT:
        mine, number = col(RolloutRow.endpoint_id) == endpoint_id, col(RolloutRow.version)
        await transaction.session.exec(delete(RolloutRow).where(mine, number <= version - KEPT))


async def note_prepared(
    transaction: Transaction, key: RolloutKey, activate_revision: int, now_ms: int
) -> None:
    """Note that a version is prepared everywhere."""
    values = {"activate_revision": activate_revision, "prepared_ms": now_ms}
    await _update(transaction, key, values)


async def note_end(transaction: Transaction, key: RolloutKey, now_ms: int) -> None:
    """Note that a rollout has ended, and how its hosted models are."""
    entities = await read_entities(transaction.session, key)
    for entity in entities:
        if entity.steps and not entity.steps[-1].HasField("end_time"):
            entity.steps[-1].end_time = now_ms
    stored = RolloutEntities(entities=entities).SerializeToString()
    await _update(transaction, key, {"ended_ms": now_ms, "entities": stored})


async def read_entities(session: Session, key: RolloutKey) -> list[RolloutEntity]:
    """Return how the hosted models of a version are, `deployment` as a `GroupPhase`."""
    config = await session.get(EndpointConfigRow, key)
    models = version_groups.models_of(config.hosted if config else None)
    if config is None or not models:
        return []
    found = await groups.load(session, [model.group_id for model in models])
    by_id = {group.id: group for group in found}
    return [
        RolloutEntity(
            served_entity_name=model.served_entity_name,
            deployment=group.phase,
            message=group.message,
            reused=group.begun_ms < config.created_ms,
            # Of what ran already they are of another version.
            steps=[] if group.begun_ms < config.created_ms else group.history.steps,
        )
        for model in models
        if (group := by_id.get(model.group_id))
    ]


async def save_workers(
    transaction: Transaction, replica_id: str, told: Mapping[RolloutKey, Sequence[RolloutWorker]]
) -> None:
    """Store what the workers of a replica made of versions whose records are locked."""
    for (endpoint_id, version), workers in told.items():
        values = {"workers": RolloutWorkers(workers=workers).SerializeToString()}
        key = {"endpoint_id": endpoint_id, "version": version, "replica_id": replica_id}
        statement = insert(transaction.session, RolloutWorkersRow).values(**key, **values)
        await transaction.session.exec(
            statement.on_conflict_do_update(index_elements=list(key), set_=values)
        )


async def find(session: Session, key: RolloutKey) -> RolloutRecord | None:
    """Return how a version is or was rolled out; None: that is not known any more."""
    return (await load(session, [key])).get(key)


async def load(
    session: Session, keys: Collection[RolloutKey], *, lock: bool = False
) -> dict[RolloutKey, RolloutRecord]:
    """Return what is known of rollouts; with `lock` it stays until the transaction ends."""
    found = {}
    # In one order, so that transactions with some in common wait for each other in turn.
    for key in sorted(keys):
        row = await session.get(RolloutRow, key, populate_existing=True, with_for_update=lock)
        if row is None:
            continue
        query = select(RolloutWorkersRow).where(
            col(RolloutWorkersRow.endpoint_id) == row.endpoint_id,
            col(RolloutWorkersRow.version) == row.version,
        )
        found[key] = RolloutRecord(
            row.prepare_revision,
            row.activate_revision,
            row.prepared_ms,
            row.ended_ms,
            RolloutEntities.FromString(row.entities).entities,
            {
                one.replica_id: RolloutWorkers.FromString(one.workers).workers
                for one in (await session.exec(query)).all()
            },
        )
    return found


async def _update(transaction: Transaction, key: RolloutKey, values: Mapping[str, object]) -> None:
    endpoint_id, version = key
    await transaction.session.exec(
        update(RolloutRow)
        .where(col(RolloutRow.endpoint_id) == endpoint_id, col(RolloutRow.version) == version)
        .values(**values)
    )
