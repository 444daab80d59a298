"""Statements by which control-plane replicas on one PostgreSQL learn of each other's workers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import orjson
from sqlalchemy import func
from sqlmodel import col, delete, select

from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.tables import ReplicaRow
from modelplane.control_plane.store.upsert import insert

# The database's clock, so that replicas whose clocks disagree still see each other alive.
_NOW_MS = func.floor(func.extract("epoch", func.clock_timestamp()) * 1000)


@dataclass(frozen=True, slots=True)
class WorkerProgress:
    """How far a replica's workers are."""

    workers: int
    # Revision that all of them have acknowledged; without workers, the replica's own revision.
    acked_revision: int


@dataclass(frozen=True, slots=True)
class ConnectedWorker:
    """A worker that is connected to some replica."""

    worker_id: str
    build: str
    replica_id: str
    acked_revision: int
    # Since when, by the clock of the replica's machine.
    connected_ms: int


async def publish_progress(
    transaction: Transaction,
    replica_id: str,
    progress: WorkerProgress,
    connected: Sequence[ConnectedWorker] | None = None,
) -> None:
    """Store the progress of a replica's workers, as a sign of life too.

    Args:
        transaction: Where to store it.
        replica_id: The replica.
        progress: How far its workers are.
        connected: Each of them; None: as it was stored last.
    """
    values: dict[str, object] = {
        "seen_ms": _NOW_MS,
        "workers": progress.workers,
        "acked_revision": progress.acked_revision,
    }
    if connected is not None:
        values["connected"] = orjson.dumps([asdict(worker) for worker in connected]).decode()
    statement = insert(transaction.session, ReplicaRow).values(
        **{"id": replica_id, "connected": "[]", **values}
    )
    await transaction.session.exec(
        statement.on_conflict_do_update(index_elements=["id"], set_=values)
    )


async def read_progress_of_others(
    session: Session, replica_id: str, alive_ms: int
) -> list[WorkerProgress]:
    """Return the progress of all other replicas that gave a sign of life in the last `alive_ms`."""
    # Not the workers themselves, of which there are many, and each look asks this.
    query = select(ReplicaRow.workers, ReplicaRow.acked_revision).where(
        col(ReplicaRow.id) != replica_id, col(ReplicaRow.seen_ms) > _NOW_MS - alive_ms
    )
    return [WorkerProgress(*row) for row in (await session.exec(query)).all()]


async def read_workers_of_others(
    session: Session, replica_id: str, alive_ms: int
) -> list[ConnectedWorker]:
    """Return the workers of all other replicas that gave a sign of life in the last `alive_ms`."""
    query = select(ReplicaRow.connected).where(
        col(ReplicaRow.id) != replica_id, col(ReplicaRow.seen_ms) > _NOW_MS - alive_ms
    )
    return [
        ConnectedWorker(**worker)
        for connected in await session.exec(query)
        for worker in orjson.loads(connected)
    ]


async def remove_replica(transaction: Transaction, replica_id: str) -> None:
    """Forget a replica that stops."""
    await transaction.session.exec(delete(ReplicaRow).where(col(ReplicaRow.id) == replica_id))
