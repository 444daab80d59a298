"""Ends the streams of workers that are stuck, so that no change waits for them any longer.

A worker may keep its connection and take nothing from it. Each change of any endpoint would be
answered only after the time that an answer waits for workers, for as long as that worker stays. It
is told to come back, as one that is behind in a rollout is. Beside: `watchers`, `rollout_driver`.
"""

import asyncio
import logging
from typing import NamedTuple

from prometheus_client import Counter

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.clock import Clock, steady_clock
from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.snapshots.watchers import Watcher, Watchers

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
# Far longer than a worker takes for a first snapshot of 50,000 endpoints.
STUCK_MS = 30_000


class _Seen(NamedTuple):
    """Where a worker that is behind was, and since when."""

    acked_revision: int
    since_ms: int


class Laggards:
    """Watches those that are behind and do not move.

    Attributes:
        dropped: Counts streams that were ended.
    """

    def __init__(
        self, cache: SnapshotCache, watchers: Watchers, steady: Clock = steady_clock
    ) -> None:
        """Watch `watchers`, by a clock that nobody can set."""
        self._cache = cache
        self._watchers = watchers
        self._steady = steady
        self._seen: dict[Watcher, _Seen] = {}
        self.dropped = Counter(
            "modelplane_dropped_workers",
            "Workers whose stream was ended because they took nothing from it.",
            registry=None,
        )

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """End the streams of those that have been stuck for too long."""
        now_ms = self._steady()
        seen: dict[Watcher, _Seen] = {}
        for watcher in self._watchers.behind(self._cache.revision):
            now = _Seen(watcher.acked_revision, now_ms)
            before = self._seen.get(watcher, now)
            seen[watcher] = before if before.acked_revision == now.acked_revision else now
        stuck = [watcher for watcher, item in seen.items() if now_ms - item.since_ms > STUCK_MS]
        for watcher in stuck:
            fields = {"worker": watcher.worker_id, "revision": watcher.acked_revision}
            _log.warning("worker is stuck; its stream is ended", extra=log_fields(**fields))
            self.dropped.inc()
        self._seen = seen
        self._watchers.drop(stuck)
