"""The slice of one limit that this worker holds: arithmetic alone.

`gate.py` takes from it, `quota_leases.py` fills it. Times are seconds of the monotonic clock.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from math import inf

WINDOW_SECONDS = 60.0
# How far ahead of need quota is asked for, at the rate observed.
_HORIZON_SECONDS = 1.0
# A slice grows at most this fold at once: a rate over a few milliseconds says little.
_GROWTH = 4
_SHORTEST_SPAN_SECONDS = 0.01
# More is asked for when this part of a slice is left.
_LOW = 0.3
# How long it is believed that a limit is exhausted: another worker may return some.
_EXHAUSTED_SECONDS = 1.0


class Verdict(Enum):
    """What became of a wish for quota."""

    TAKEN = auto()
    EXHAUSTED = auto()
    # Admitted without counting: the control plane is away, and that is the policy.
    UNCOUNTED = auto()


@dataclass(slots=True)
class Waiter:
    """A query that waits for quota."""

    amount: int
    verdict: asyncio.Future[Verdict]


class Counter:
    """A worker's part of one limit.

    Attributes:
        key: Identifies it, as in `limits.Rule`.
        limit: How much a window has, for all workers.
        window: Window in which `available` may be used.
        available: What may be used now.
        valid_until: When it may not be any longer.
        remaining: What was left for all workers when the control plane last said.
        granted: What was granted in the window, less what was returned.
        low: Amount at which more is asked for.
        debt: What was used beyond what was granted, and is not reported yet.
        returned: What is to be returned of `returned_window`.
        wish: Amount that a stream will need soon.
        asked: Whether a call to the control plane is due, or under way.
        watched: Whether someone looks whether it is idle.
        waiters: Queries that wait, in order; None: none does.
    """

    __slots__ = (
        "__weakref__",
        "_before",
        "_earlier",
        "_exhausted_until",
        "_local_epoch",
        "_local_share",
        "_slice",
        "_sliced_at",
        "asked",
        "available",
        "debt",
        "granted",
        "key",
        "limit",
        "low",
        "remaining",
        "returned",
        "returned_window",
        "valid_until",
        "waiters",
        "watched",
        "window",
        "wish",
    )

    def __init__(self, key: bytes, limit: int, now: float) -> None:
        self.key = key
        self.limit = limit
        self.window = self.returned_window = -1
        self.available = self.remaining = self.granted = 0
        self.low = self.debt = self.returned = self.wish = 0
        self.valid_until = -inf
        self.asked = self.watched = False
        self.waiters: deque[Waiter] | None = None
        self._before = self._earlier = 0
        self._exhausted_until = -inf
        self._local_epoch, self._local_share = -1, 0
        self._slice = 0
        self._sliced_at = now

    def take(self, amount: int, now: float) -> bool:
        """Take `amount`, if it is there and nobody waits for it."""
        if self.available < amount or now >= self.valid_until or self.waiters is not None:
            return False
        self.available -= amount
        return True

    def give_back(self, amount: int, window: int, now: float) -> None:
        """Take back what was taken in `window` and not used; what is left of old ones is void."""
        if window == self.window and now < self.valid_until:
            self.available += amount

    def owe(self, amount: int, now: float) -> None:
        """Note that `amount` was used beyond what was taken."""
        held = min(amount, self.available) if now < self.valid_until else 0
        self.available -= held
        self.debt += amount - held

    def is_exhausted(self, now: float) -> bool:
        """Tell whether it is known that nothing is left for anyone."""
        return now < self._exhausted_until

    def relimit(self, limit: int) -> None:
        """Go over to another limit: what is held was granted under the old one."""
        self.limit = limit
        self._exhausted_until = -inf
        self.release()

    def release(self) -> None:
        """Mark all that is held for return; what was not granted is void."""
        if self.available <= 0 or self.is_local:
            self.available = 0
            return
        if self.returned_window != self.window:
            self.returned, self.returned_window = 0, self.window
        self.returned += self.available
        self.granted -= self.available
        self.available = self._slice = self.low = 0

    def needed(self) -> int:
        """Return what waits."""
        waiting = (waiter for waiter in self.waiters or () if not waiter.verdict.done())
        return sum(waiter.amount for waiter in waiting)

    def ahead(self, needed: int, now: float) -> int:
        """Return what it would be good to have beside `needed`, by the rate observed."""
        if self.is_exhausted(now):
            return 0
        used = max(0, self._slice - self.available) + needed
        span = max(now - self._sliced_at, _SHORTEST_SPAN_SECONDS)
        growth = _GROWTH * max(self._slice, needed)
        # A counter that was never granted anything has no rate yet.
        by_rate = int(used / span * _HORIZON_SECONDS) if self._slice else 0
        return min(by_rate, growth)

    def fill(self, granted: int, remaining: int, window: int, valid_until: float) -> None:
        """Add what was granted in `window`."""
        self._enter(window)
        self.available += granted
        self.granted += granted
        self.remaining = remaining
        self.valid_until = valid_until

    def note_slice(self, now: float) -> None:
        """Begin to observe how fast what is held now is used."""
        self._slice = self.available
        self._sliced_at = now
        self.low = int(self.available * _LOW)

    def note_exhausted(self, now: float) -> None:
        """Note that nothing is left for anyone in this window, unless some is returned."""
        self._exhausted_until = min(self.valid_until, now + _EXHAUSTED_SECONDS)

    def enter_local(self, epoch: int, window: int, valid_until: float) -> None:
        """Go on without the control plane, which went away in window `epoch`.

        In each window there is what was granted in both of the last two full ones: workers that
        noticed in different windows still have one in common, in which no more than the limit was
        granted to all of them.
        """
        if self._local_epoch != epoch:
            self._local_epoch = epoch
            self._local_share = min(self._granted_in(epoch - 1), self._granted_in(epoch - 2))
        if window == self.window:
            return
        self._enter(window)
        paid = min(self.debt, self._local_share)
        self.debt -= paid
        self.granted = self._local_share
        self.available = self._local_share - paid
        self.valid_until = valid_until
        self.remaining = 0

    @property
    def is_local(self) -> bool:
        """Whether what is held was not granted, but is used while the control plane is away."""
        return self._local_epoch >= 0 and self.window > self._local_epoch

    def end_local(self) -> None:
        """Note that the window is one of the control plane's again."""
        self._local_epoch = -1

    def _granted_in(self, window: int) -> int:
        past = (self.granted, self._before, self._earlier)
        age = self.window - window
        return past[age] if 0 <= age < len(past) else 0

    def _enter(self, window: int) -> None:
        if window == self.window:
            return
        self._before, self._earlier = self._granted_in(window - 1), self._granted_in(window - 2)
        self.window = window
        self.granted = self.available = 0
