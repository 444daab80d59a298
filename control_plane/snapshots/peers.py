"""The other control-plane replicas: tells them how far this one's workers are, and asks them.

SQLite has one replica, so there is nobody to tell. Before: `watchers`. After: `rollout_driver`.
"""

import asyncio
import logging

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.clock import steady_clock, wait_for
from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.snapshots.watchers import Watchers
from modelplane.control_plane.store import replicas
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.replicas import ConnectedWorker, WorkerProgress

_log = logging.getLogger(__name__)

_PUBLISH_SECONDS = 1.0
# What moves again sooner than this after it was published waits: workers follow one by one.
_PAUSE_SECONDS = 0.02
# A replica that has been silent for so long is gone.
_ALIVE_MS = 4_000


class NoPeers:
    """The only replica."""

    async def others(self) -> list[WorkerProgress]:
        """Return nothing: there are no other replicas."""
        return []

    async def workers_of_others(self) -> list[ConnectedWorker]:
        """Return nothing: there are no other replicas."""
        return []


class PostgresqlPeers:
    """Replicas that share one PostgreSQL."""

    def __init__(
        self, replica_id: str, database: Database, cache: SnapshotCache, watchers: Watchers
    ) -> None:
        self._replica_id = replica_id
        self._database = database
        self._cache = cache
        self._watchers = watchers
        self._moved = asyncio.Event()
        # What was told of each worker, and when.
        self._told: list[ConnectedWorker] = []
        self._told_ms: int | None = None

    def hint(self) -> None:
        """Look whether there is something new to publish."""
        self._moved.set()

    async def others(self) -> list[WorkerProgress]:
        """Return the progress of each other live replica.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        async with self._database.read() as session:
            return await replicas.read_progress_of_others(session, self._replica_id, _ALIVE_MS)

    async def workers_of_others(self) -> list[ConnectedWorker]:
        """Return the workers of each other live replica, as they were a second or two ago.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        async with self._database.read() as session:
            return await replicas.read_workers_of_others(session, self._replica_id, _ALIVE_MS)

    async def run(self) -> None:
        """Publish each progress, and a sign of life every second, until cancelled."""
        published: WorkerProgress | None = None
        published_ms = steady_clock()
        while True:
            await wait_for(self._moved, _PUBLISH_SECONDS)
            self._moved.clear()
            progress = self._progress()
            is_news = progress != published
            # However often there is something to look at, the others hear that this one is alive.
            if not is_news and steady_clock() - published_ms < _PUBLISH_SECONDS * 1000:
                continue
            try:
                await self._publish(progress, is_news=is_news)
                published, published_ms = progress, steady_clock()
            except StoreUnavailable as error:
                _log.warning("progress not published", extra=log_fields(error=str(error)))
            await asyncio.sleep(_PAUSE_SECONDS)

    async def leave(self) -> None:
        """Let the others go on without this replica."""
        async with self._database.write() as transaction:
            await replicas.remove_replica(transaction, self._replica_id)

    def _progress(self) -> WorkerProgress:
        acked = self._watchers.slowest(default=self._cache.revision)
        return WorkerProgress(len(self._watchers), acked)

    async def _publish(self, progress: WorkerProgress, *, is_news: bool) -> None:
        connected = self._workers_to_tell()
        async with self._database.write() as transaction:
            await replicas.publish_progress(transaction, self._replica_id, progress, connected)
            # A mere sign of life is nothing to look at, for each of the others.
            transaction.moved = is_news
        if connected is not None:
            self._told, self._told_ms = connected, steady_clock()

    def _workers_to_tell(self) -> list[ConnectedWorker] | None:
        """Return each worker if that is news, and not told within a second: they may be many."""
        if self._told_ms is not None and steady_clock() - self._told_ms < _PUBLISH_SECONDS * 1000:
            return None
        connected = connected_workers(self._replica_id, self._watchers)
        return None if connected == self._told else connected


def connected_workers(replica_id: str, watchers: Watchers) -> list[ConnectedWorker]:
    """Return the workers of this replica."""
    return [
        ConnectedWorker(
            watcher.worker_id,
            watcher.build,
            replica_id,
            watcher.acked_revision,
            watcher.connected_ms,
        )
        for watcher in watchers
    ]
