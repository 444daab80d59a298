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
        # Tells whether the look that begins next went well.
        self._next_look: asyncio.Future[bool] | None = None
        self._compacted_at = cache.revision

    def hint(self) -> None:
        """Look now."""
        self._hinted.set()

    async def catch_up(self) -> None:
        """Return once the cache holds all that was committed before the call.

        All who wait at a time share one look.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        if self._next_look is None:
            self._next_look = asyncio.get_running_loop().create_future()
            self._hinted.set()
        # It is not this caller's alone: one that goes away does not end it.
        if not await asyncio.shield(self._next_look):
            raise StoreUnavailable("The database does not answer; please retry.")

    async def run(self) -> None:
        """Follow the log until cancelled."""
        while True:
            await wait_for(self._hinted, _LOOK_SECONDS)
            self._hinted.clear()
            waiting, self._next_look = self._next_look, None
            current = False
            try:
                await self._look()
                current = True
            except StoreUnavailable as error:
                _log.warning("the snapshot stays as it is", extra=log_fields(error=str(error)))
            finally:
                if waiting is not None:
                    waiting.set_result(current)

    async def _look(self) -> None:
        await self._cache.refresh()
        if self._cache.revision - self._compacted_at >= _COMPACT_EVERY:
            await self._compact()

    async def _compact(self) -> None:
        async with self._database.write() as transaction:
            await compact(transaction, self._keep_events)
        self._compacted_at = self._cache.revision
