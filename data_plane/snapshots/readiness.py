"""May this worker be sent traffic? Decided from what the control plane said, and when.

`watcher.py` reports what it hears, a ticker reports that the process runs, and
`hosts/grpc/health_check.py` asks at the moment a health check arrives. A worker that cannot reach
the control plane goes on with what it has; one that knows itself to be behind, or was stopped and
has not heard anything since, does not.
"""

from collections.abc import Callable

TICK_SECONDS = 0.25
_BEHIND_SECONDS = 2.0
_STALL_SECONDS = 1.0
# A process that had the processor for so much of a gap was busy; one that was stopped had it not.
_BUSY_SHARE = 0.1
# What arrives sooner, after a stop or on a new stream, is a backlog whose end is not in sight.
_BUFFERED_SECONDS = 0.1


class Readiness:
    """Judges whether the worker is current.

    All state is touched from one event loop only.
    """

    def __init__(
        self, clock: Callable[[], float], cpu_seconds: Callable[[], float] = lambda: 0.0
    ) -> None:
        """Start not ready.

        Args:
            clock: Monotonic time, seconds.
            cpu_seconds: Time for which the event loop's thread has had a processor.
        """
        self._clock = clock
        self._cpu_seconds = cpu_seconds
        self._last_tick = clock()
        self._last_cpu = cpu_seconds()
        self._applied: int | None = None
        self._newest = 0
        self._behind_since: float | None = None
        self._stalled_at: float | None = None
        self._draining = False

    def serving(self) -> bool:
        """Return whether the worker may be sent traffic now."""
        return not self.obstacle()

    def obstacle(self) -> str:
        """Return why the worker may not be sent traffic now; empty: it may."""
        # A health check may be answered before the ticker had its turn after a stop.
        self.tick()
        if self._draining:
            return "draining"
        if self._applied is None:
            return "no configuration yet"
        if self._stalled_at is not None:
            return "stopped for a while, and no news since"
        behind = self._behind_since
        if behind is not None and self._last_tick - behind > _BEHIND_SECONDS:
            return "behind the newest revision"
        return ""

    def tick(self) -> None:
        """Note that the process runs; a long gap in which it did nothing means it was stopped.

        One that was busy instead is slow: to send its callers away would make that an outage.
        """
        now, cpu = self._clock(), self._cpu_seconds()
        gap = now - self._last_tick
        if gap > _STALL_SECONDS and cpu - self._last_cpu < gap * _BUSY_SHARE:
            self._stalled_at = now
        self._last_tick, self._last_cpu = now, cpu

    def connected(self) -> None:
        """Note that a new watch stream is there: what it brings first may be one change of many."""
        self.tick()
        if self._stalled_at is not None:
            self._stalled_at = self._last_tick

    def heard(self, newest_revision: int) -> None:
        """Note a message of the control plane that tells its newest revision."""
        self.tick()
        if self._stalled_at is not None and self._last_tick - self._stalled_at > _BUFFERED_SECONDS:
            self._stalled_at = None
        self._newest = max(self._newest, newest_revision)
        self._compare()

    def applied(self, revision: int) -> None:
        """Note that the worker serves `revision`."""
        self._applied = revision
        self._newest = max(self._newest, revision)
        self._compare()

    def restarted(self, revision: int) -> None:
        """Note that the worker serves a full snapshot, whose revisions may start anew."""
        self._newest = revision
        self.applied(revision)

    def unreachable(self) -> None:
        """Note that no control plane answers, so none can be asked: go on with what there is."""
        self._stalled_at = None
        self._newest = self._applied or 0
        self._behind_since = None

    def drain(self) -> None:
        """Stop being ready, for good."""
        self._draining = True

    def _compare(self) -> None:
        if self._newest <= (self._applied or 0):
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self._clock()
