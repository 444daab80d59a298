"""The workers connected to this replica, and how far each has come.

Written by `servicer`, read by `rollout_driver`.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from modelplane.control_plane.clock import Clock, system_clock

# Acknowledgements of a worker whose times are known.
_KEPT_ACKS = 128


@dataclass(eq=False)
class Watcher:
    """One worker's watch stream."""

    worker_id: str
    build: str
    # Newest revision that the worker has acknowledged.
    acked_revision: int
    connected_ms: int = field(default_factory=system_clock)
    # Set when there is something to send, or when the stream is to end.
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: bool = False
    # The last revisions that it acknowledged, and when.
    acks: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_KEPT_ACKS))

    def __post_init__(self) -> None:
        """Begin with what it has."""
        self.acks.append((self.acked_revision, self.connected_ms))

    def acked_ms(self, revision: int) -> int | None:
        """Return when it had `revision`, milliseconds; None: not yet, or not known any more."""
        if len(self.acks) == _KEPT_ACKS and self.acks[0][0] >= revision:
            return None
        return next((when_ms for acked, when_ms in self.acks if acked >= revision), None)

    def drop(self) -> None:
        """End the stream."""
        self.dropped = True
        self.wake.set()


class Watchers:
    """The registry of watch streams.

    Tells its listeners when one comes or goes, and when the slowest or the fastest of all moves:
    nobody waits for any other, and each change of the configuration is acknowledged by all.

    Attributes:
        replica_id: Identifier of this replica.
    """

    def __init__(self, replica_id: str = "", clock: Clock = system_clock) -> None:
        self.replica_id = replica_id
        self._clock = clock
        self._watchers: dict[str, Watcher] = {}
        self._listeners: list[Callable[[], None]] = []
        # Newest revision that any, and that all, have acknowledged; how many have that only.
        self._fastest = self._slowest = self._at_slowest = 0

    def __iter__(self) -> Iterator[Watcher]:
        """Iterate over the connected workers."""
        return iter(list(self._watchers.values()))

    def __len__(self) -> int:
        """Return how many workers are connected."""
        return len(self._watchers)

    def on_move(self, listener: Callable[[], None]) -> None:
        """Call `listener` when there is something to look at: see above."""
        self._listeners.append(listener)

    def add(self, watcher: Watcher) -> None:
        """Register a stream; an older stream of the same worker is dropped."""
        if former := self._watchers.pop(watcher.worker_id, None):
            former.drop()
        self._watchers[watcher.worker_id] = watcher
        self._count()
        self._tell()

    def remove(self, watcher: Watcher) -> None:
        """Forget a stream that ended."""
        if self._watchers.get(watcher.worker_id) is watcher:
            del self._watchers[watcher.worker_id]
            self._count()
            self._tell()

    def wake_all(self) -> None:
        """Let every stream look for something to send."""
        for watcher in self._watchers.values():
            watcher.wake.set()

    def acknowledge(self, watcher: Watcher, revision: int) -> None:
        """Note that a worker has applied everything up to `revision`."""
        before = watcher.acked_revision
        if revision > before:
            watcher.acked_revision = revision
            watcher.acks.append((revision, self._clock()))
        if self._watchers.get(watcher.worker_id) is not watcher:
            return
        known = self._slowest, self._fastest
        self._fastest = max(self._fastest, watcher.acked_revision)
        if before == self._slowest < watcher.acked_revision:
            self._at_slowest -= 1
            if not self._at_slowest:
                self._count()
        if known != (self._slowest, self._fastest):
            self._tell()

    def behind(self, revision: int) -> list[Watcher]:
        """Return the workers that have not acknowledged `revision`."""
        if self._slowest >= revision:
            return []
        return [item for item in self._watchers.values() if item.acked_revision < revision]

    def slowest(self, default: int) -> int:
        """Return the revision that all have acknowledged; `default` without workers."""
        return self._slowest if self._watchers else default

    def fastest(self) -> int:
        """Return the newest revision that any has acknowledged; 0 without workers."""
        return self._fastest

    def drop(self, watchers: list[Watcher]) -> None:
        """End streams; their workers may reconnect."""
        for watcher in watchers:
            watcher.drop()
            self.remove(watcher)

    def _count(self) -> None:
        acked = [item.acked_revision for item in self._watchers.values()]
        self._slowest, self._fastest = min(acked, default=0), max(acked, default=0)
        self._at_slowest = acked.count(self._slowest)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()
