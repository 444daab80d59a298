"""How a version was or is rolled out, for those who may see its endpoint.

Before: `rollout_servicer`. After: `snapshots.rollout_driver` for what goes on,
`store.endpoints.rollout_records` for what is over.
"""

from collections.abc import Iterable
from dataclasses import replace

from modelserving.v1.rollout_pb2 import Rollout, RolloutEntity

from modelplane.control_plane.access import level_of
from modelplane.control_plane.endpoints.entity_states import deployment_of
from modelplane.control_plane.endpoints.lookup import find_endpoint
from modelplane.control_plane.errors import NotFound
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.snapshots.rollout_driver import RolloutDriver
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import records, rollout_records, rollouts
from modelplane.control_plane.store.endpoints.rollout_records import RolloutRecord
from modelplane.control_plane.store.endpoints.rollouts import RolloutState
from modelplane.control_plane.store.states import GroupPhase, Outcome, Phase

_ENDED = "ENDED"


class Rollouts:
    """Reads rollouts."""

    def __init__(self, database: Database, driver: RolloutDriver) -> None:
        self._database = database
        self._driver = driver

    async def get(self, principal: Principal, name: str, version: int) -> Rollout:
        """Return how a version was or is rolled out.

        Raises:
            NotFound: There is no such endpoint or version.
            StoreUnavailable: The database does not answer.
        """
        async with self._database.read() as session:
            endpoint = await find_endpoint(session, principal, name)
            key = endpoint.id, version
            # Each statement may see a later moment, so what an end is told by is read last.
            going = await rollouts.find_in_progress(session, key)
            entities = await rollout_records.read_entities(session, key) if going else []
            found = await records.find_version(session, *key)
            if found is None:
                raise NotFound(f"Endpoint '{name}' has no configuration version {version}.")
            if found.outcome is not Outcome.PENDING:
                going = None
            record = await rollout_records.find(session, key)
        if record and going:
            record = _as_of(record, going)
        rollout = Rollout(
            config_version=version,
            phase=going.phase.upper() if going else _ENDED,
            outcome=found.outcome,
            outcome_message=found.outcome_message,
            creator=found.creator,
            start_time=found.created_ms,
        )
        if record:
            rollout.workers.extend(await self._driver.history.workers(key, record))
            entities = entities if going else list(record.entities)
            times = Rollout(prepared_time=record.prepared_ms, end_time=record.ended_ms)
            rollout.MergeFrom(times)
        if going:
            starts = any(entity.deployment == GroupPhase.CREATING for entity in entities)
            deadline_ms = self._driver.deadline_ms(going, starts=starts)
            rollout.MergeFrom(Rollout(deadline_time=deadline_ms))
        manages = level_of(principal, endpoint.grants) is Level.CAN_MANAGE
        rollout.entities.extend(_shown(entities, manages=manages))
        return rollout


def _as_of(record: RolloutRecord, going: RolloutState) -> RolloutRecord:
    """Return what was noted of a rollout up to the phase that was read: not what came since."""
    record = replace(record, ended_ms=None, workers={})
    if going.phase is Phase.PREPARING:
        record = replace(record, activate_revision=None, prepared_ms=None)
    return record


def _shown(entities: Iterable[RolloutEntity], *, manages: bool) -> Iterable[RolloutEntity]:
    """Yield entities in the words of the API, the ends of logs only for who may read the logs."""
    for entity in entities:
        entity.deployment = deployment_of(GroupPhase(entity.deployment))
        if not manages:
            entity.message = entity.message.partition("\n")[0]
        yield entity
