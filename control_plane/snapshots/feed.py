"""Keeps the cache at the newest revision and the log at a bounded length.

Before: `store.database` (commits), `store.notifications` (hints). After: `snapshots.cache`.
"""

import asyncio
import logging

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.clock import wait_for
from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.events import compact

_log = logging.getLogger(__name__)

# Hints can get lost, so the feed also looks by itself.
_LOOK_SECONDS = 1.0
# The log is cut when this many revisions have come since the last cut.
_COMPACT_EVERY = 1_000


class Feed:
    """Refreshes the cache whenever something was committed."""

    def __init__(self, database: Database, cache: SnapshotCache, keep_events: int) -> None:
        self._database = database
        self._cache = cache
        self._keep_events = keep_events
        self._hinted = asyncio.Event()
        self._compacted_at = cache.revision

    def hint(self) -> None:
        """Look now."""
        self._hinted.set()

    async def run(self) -> None:
        """Follow the log until cancelled."""
        while True:
            await wait_for(self._hinted, _LOOK_SECONDS)
            self._hinted.clear()
            try:
                await self._cache.refresh()
                if self._cache.revision - self._compacted_at >= _COMPACT_EVERY:
                    await self._compact()
            except StoreUnavailable as error:
                _log.warning("the snapshot stays as it is", extra=log_fields(error=str(error)))

    async def _compact(self) -> None:
        async with self._database.write() as transaction:
            await compact(transaction, self._keep_events)
        self._compacted_at = self._cache.revision
