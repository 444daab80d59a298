"""What each worker made of each rollout, and when: live while it goes on, stored once it has ended.

Each replica knows the times of its own workers, and stores them when a rollout is no longer in
progress, whoever ended it: so no step of a rollout waits for that. A replica that dies before has
the times of its workers forgotten, and nothing else. Before: `rollout_driver`, with each of its
steps, and `endpoints.rollouts`. After: `watchers`, `store.endpoints.rollout_records`.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from modelserving.v1.rollout_pb2 import RolloutWorker
from modelserving.worker.v1.snapshot_service_pb2 import Nack

from modelplane.control_plane.snapshots.watchers import Watcher, Watchers
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import rollout_records
from modelplane.control_plane.store.endpoints.rollout_records import RolloutKey, RolloutRecord
from modelplane.control_plane.store.replicas import ConnectedWorker

WAITING, PREPARED, ACTIVE = "WAITING", "PREPARED", "ACTIVE"
REFUSED, DROPPED = "REFUSED", "DROPPED"


class Peers(Protocol):
    """What the other replicas say of their workers."""

    async def workers_of_others(self) -> list[ConnectedWorker]:
        """Return the workers of each other live replica."""


class RolloutHistory:
    """Knows what the workers of this replica make of the rollouts in progress."""

    def __init__(self, database: Database, watchers: Watchers, peers: Peers) -> None:
        self._database = database
        self._watchers = watchers
        self._peers = peers
        self._replica_id = watchers.replica_id
        # Rollouts whose workers are not stored yet.
        self._open: set[RolloutKey] = set()
        self._refused: dict[RolloutKey, dict[str, str]] = {}
        # Workers that are no longer connected, with the revisions of which they were asked.
        self._dropped: dict[RolloutKey, list[Watcher]] = {}

    async def follow(self, in_progress: Collection[RolloutKey]) -> None:
        """Store what the workers made of the rollouts that have ended since the last call.

        Raises:
            StoreUnavailable: The database does not answer; the next call does it.
        """
        self._open.update(in_progress)
        ended = self._open.difference(in_progress)
        if not ended:
            return
        async with self._database.write() as transaction:
            found = await rollout_records.load(transaction.session, ended, lock=True)
            told = {key: self._own(key, record) for key, record in found.items()}
            await rollout_records.save_workers(transaction, self._replica_id, told)
            # It is nothing that anybody waits for.
            transaction.hint = False
        for key in ended:
            self._refused.pop(key, None)
            self._dropped.pop(key, None)
        self._open -= ended

    def refuse(self, worker_id: str, nack: Nack, *, ended: bool) -> None:
        """Note that a worker refused a version, if that is being rolled out.

        Args:
            worker_id: The worker.
            nack: What it said.
            ended: Whether that has ended the rollout.
        """
        key = nack.endpoint_id, nack.config_version
        if ended:
            self._open.add(key)
        if key in self._open:
            self._refused.setdefault(key, {})[worker_id] = nack.reason

    def drop(self, key: RolloutKey, workers: Sequence[Watcher]) -> None:
        """Note that workers are cut off, since a rollout does not wait for them any more.

        Called before the end of the rollout can be read, so that whoever reads it knows.
        """
        self._dropped.setdefault(key, []).extend(workers)

    async def workers(self, key: RolloutKey, record: RolloutRecord) -> list[RolloutWorker]:
        """Return what all workers make or made of a version, as far as it is known.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        told = [worker for workers in record.workers.values() for worker in workers]
        if record.ended_ms is None:
            told += [_seen(one, record) for one in await self._peers.workers_of_others()]
        if self._replica_id not in record.workers:
            if record.ended_ms is None or key in self._open:
                told += self._own(key, record)
            else:
                # Perhaps it was stored after the record was read.
                told += await self._stored(key)
        # One that has moved to another replica is told of by both.
        return sorted({one.worker_id: one for one in told}.values(), key=_place)

    async def _stored(self, key: RolloutKey) -> Sequence[RolloutWorker]:
        async with self._database.read() as session:
            record = await rollout_records.find(session, key)
        return record.workers.get(self._replica_id, ()) if record else ()

    def _own(self, key: RolloutKey, record: RolloutRecord) -> list[RolloutWorker]:
        refused = self._refused.get(key, {})
        dropped = self._dropped.get(key, [])
        workers = [self._worker(watcher, record) for watcher in (*self._watchers, *dropped)]
        # One may still be connected, or have come back: what the rollout made of it goes last.
        for worker in workers[len(workers) - len(dropped) :]:
            worker.state = DROPPED
        for worker in workers:
            if worker.worker_id in refused:
                worker.state, worker.message = REFUSED, refused[worker.worker_id]
        return workers

    def _worker(self, watcher: Watcher, record: RolloutRecord) -> RolloutWorker:
        activate = record.activate_revision
        return RolloutWorker(
            worker_id=watcher.worker_id,
            build=watcher.build,
            replica_id=self._replica_id,
            state=_state(watcher.acked_revision, record),
            prepared_time=watcher.acked_ms(record.prepare_revision),
            active_time=None if activate is None else watcher.acked_ms(activate),
        )


def _seen(worker: ConnectedWorker, record: RolloutRecord) -> RolloutWorker:
    return RolloutWorker(
        worker_id=worker.worker_id,
        build=worker.build,
        replica_id=worker.replica_id,
        state=_state(worker.acked_revision, record),
    )


def _state(acked: int, record: RolloutRecord) -> str:
    if record.activate_revision is not None and acked >= record.activate_revision:
        return ACTIVE
    return PREPARED if acked >= record.prepare_revision else WAITING


def _place(worker: RolloutWorker) -> tuple[bool, bool, float, str]:
    """Return where a worker is in the list: those first that are not there, then the slowest."""
    is_there = worker.state in (PREPARED, ACTIVE)
    slowest = worker.active_time or worker.prepared_time
    return worker.state != REFUSED, is_there, -slowest, worker.worker_id
