"""This worker's part of a bucket, into which so many tokens flow in each second: arithmetic alone.

Where a `Counter` counts in windows of a minute, a bucket holds a few seconds' flow and no more, so
that what is sent stays near the rate at all times. The control plane fills it for all workers
together; what a worker was granted stays its own until it is used or returned. Taken by
`throughput.py`, filled by `quota_leases.py`.
"""

from math import ceil, inf

from modelplane.data_plane.limits.quota import MOST_PATIENT, RECHECK_SECONDS, Counter

# What flows in so many seconds may be taken at once.
BURST_SECONDS = 5
# A query waits no longer than this for what flows in.
PATIENCE_SECONDS = 2
_LONGEST_RETRY_SECONDS = 60


class Bucket(Counter):
    """A worker's part of one bucket."""

    __slots__ = ("_rate",)

    def __init__(self, key: bytes, rate: int, now: float) -> None:
        super().__init__(key, rate * BURST_SECONDS, now, settles=True)
        self._rate = rate
        # What was granted never ends.
        self.window = 0
        self.valid_until = inf

    @property
    def rate(self) -> int:
        """How much flows in each second."""
        return self._rate

    def refit(self, rate: int) -> None:
        """Go over to another rate."""
        self._rate = rate
        self.relimit(rate * BURST_SECONDS)

    def fill(self, granted: int, remaining: int, window: int, valid_until: float) -> None:
        """Add what was granted; in which window does not matter."""
        del window, valid_until
        self.available += granted
        self.granted += granted
        self.remaining = remaining
        if remaining:
            self._exhausted_until = -inf

    def take_rest(self, amount: int, now: float) -> int:
        """Take `amount` or nothing: who got less would owe the rest when it is too late."""
        return amount if self.take(amount, now) else 0

    def settle(self, amount: int, used: int, window: int, now: float) -> None:
        """Note that, for `amount` taken, `used` was used: less, or more."""
        super().settle(amount, used, window, now)
        # Nobody waits for what others have reserved: it is what flows in that is waited for.
        self.used = 0

    def may_get_back(self, amount: int, now: float, spare: float = 1.0) -> bool:
        """Tell whether `amount` flows in soon, after what all who wait get."""
        del now, spare
        if self.patient >= MOST_PATIENT:
            return False
        waited_for = (self.patient + 1) * amount + self.owed + self.debt - self.remaining
        return waited_for <= self._rate * PATIENCE_SECONDS

    def note_exhausted(self, now: float) -> None:
        """Note that there is nothing more, until some has flowed in."""
        self.pledged = min(self.pledged, self.available)
        # Over by the time at which all who wait look again.
        self._exhausted_until = now + RECHECK_SECONDS / 2

    def seconds_until(self, amount: int) -> int:
        """Return the seconds, rounded up, in which `amount` has flowed in."""
        lacking = amount + self.owed + self.debt - self.remaining - self.available
        return min(_LONGEST_RETRY_SECONDS, max(1, ceil(lacking / self._rate)))
