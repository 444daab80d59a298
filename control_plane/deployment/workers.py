"""The workers of all replicas, and how far each has followed.

Before: `servicer`. After: `snapshots.watchers` for those of this replica, `snapshots.peers`.
"""

from dataclasses import dataclass
from typing import Protocol

from modelplane.control_plane.access import require_admin
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.snapshots.peers import connected_workers
from modelplane.control_plane.snapshots.watchers import Watchers
from modelplane.control_plane.store.replicas import ConnectedWorker


class Peers(Protocol):
    """What the other replicas say of their workers."""

    async def workers_of_others(self) -> list[ConnectedWorker]:
        """Return the workers of each other live replica."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """All workers.

    Attributes:
        newest_revision: Revision that they are to follow.
        workers: Ordered by identifier.
    """

    newest_revision: int
    workers: list[ConnectedWorker]


class Workers:
    """Lists the workers."""

    def __init__(
        self, replica_id: str, cache: SnapshotCache, watchers: Watchers, peers: Peers
    ) -> None:
        self._replica_id = replica_id
        self._cache = cache
        self._watchers = watchers
        self._peers = peers

    async def list_all(self, principal: Principal) -> Fleet:
        """Return all workers.

        Raises:
            PermissionDenied: The principal is no administrator.
            StoreUnavailable: The database does not answer.
        """
        require_admin(principal)
        found = {worker.worker_id: worker for worker in await self._peers.workers_of_others()}
        # One that has moved from another replica to this one is known here first.
        own = connected_workers(self._replica_id, self._watchers)
        found |= {worker.worker_id: worker for worker in own}
        return Fleet(self._cache.revision, [found[worker_id] for worker_id in sorted(found)])
