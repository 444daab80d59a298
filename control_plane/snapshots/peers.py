"""The other control-plane replicas: tells them how far this one's workers are, and asks them.

SQLite has one replica, so there is nobody to tell. Before: `watchers`. After: `rollout_driver`.
"""

import asyncio
import logging

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.clock import wait_for
from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.snapshots.watchers import Watchers
from modelplane.control_plane.store import replicas
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.replicas import WorkerProgress

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

    async def run(self) -> None:
        """Publish each progress, and a sign of life every second, until cancelled."""
        published: WorkerProgress | None = None
        while True:
            moved = await wait_for(self._moved, _PUBLISH_SECONDS)
            self._moved.clear()
            progress = self._progress()
            is_news = progress != published
            if moved and not is_news:
                continue
            try:
                await self._publish(progress, is_news=is_news)
                published = progress
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
        async with self._database.write() as transaction:
            await replicas.publish_progress(transaction, self._replica_id, progress)
            # A mere sign of life is nothing to look at, for each of the others.
            transaction.hint = is_news
