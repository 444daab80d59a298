"""The slice of one limit that this worker holds: arithmetic alone.

`gate.py` takes from it, `quota_leases.py` fills it. Times are seconds of the monotonic clock.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
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
# The same while much is reserved for queries that go on, and may come back any moment.
RECHECK_SECONDS = 0.25
# Of a limit on tokens, what is next to nothing: whoever needs more than is left gets the rest,
# unless that is no more than this part of the limit.
_NOTHING = 40
# Queries that wait at once for what others may not use.
MOST_PATIENT = 1_000


@dataclass(slots=True)
class Waiter:
    """A query that waits for quota.

    Attributes:
        amount: What it needs.
        taken: What it got; 0: nothing is left; None: it is admitted without counting.
    """

    amount: int
    taken: asyncio.Future[int | None]


class Counter:
    """A worker's part of one limit.

    Attributes:
        key: Identifies it, as in `limits.Rule`.
        limit: How much a window has, for all workers.
        settles: Whether what is taken is settled later on what was used, as tokens are.
        window: Window in which `available` may be used.
        available: What may be used now.
        valid_until: When it may not be any longer.
        remaining: What was left for all workers when the control plane last said.
        granted: What was granted in the window, less what was returned.
        low: Amount at which more is asked for.
        debt: What was used beyond what was granted, and is not reported yet.
        returned: What of `granted` is to be returned.
        used: What of `granted` is known to be used and is not told yet, of a counter that settles.
        unsettled: What all workers had been granted and not told to be used when the control plane
            last said.
        owed: What the windows to come owed when it last said.
        share: What may lie idle here.
        patient: Queries that wait for what others may not use.
        wish: Amount that a stream will need soon.
        pledged: Wishes that were told and that no stream has taken yet.
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
        "owed",
        "patient",
        "pledged",
        "remaining",
        "returned",
        "settles",
        "share",
        "unsettled",
        "used",
        "valid_until",
        "waiters",
        "watched",
        "window",
        "wish",
    )

    def __init__(self, key: bytes, limit: int, now: float, *, settles: bool = False) -> None:
        self.key = key
        self.limit = limit
        self.settles = settles
        self.window = -1
        self.available = self.remaining = self.granted = 0
        self.low = self.debt = self.returned = self.wish = self.used = 0
        self.unsettled = self.owed = self.share = self.patient = self.pledged = 0
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

    def take_rest(self, amount: int, now: float) -> int:
        """Take what there is in place of `amount`, unless it is next to nothing; return what."""
        rest = min(amount, self.available)
        is_enough = rest == amount or rest > self.limit // _NOTHING
        return rest if rest > 0 and is_enough and self.take(rest, now) else 0

    def settle(self, amount: int, used: int, window: int, now: float) -> None:
        """Note that, for `amount` taken in `window`, `used` was used: less, or more.

        What is left of old windows is void; what was used beyond is taken of what is here, or owed.
        """
        is_valid, beyond = now < self.valid_until, used - amount
        if is_valid and window == self.window:
            self.available -= min(0, beyond)
            self.used += min(amount, used)
        if beyond > 0:
            held = min(beyond, self.available) if is_valid else 0
            self.available -= held
            self.used += held
            self.debt += beyond - held

    @property
    def rate(self) -> int:
        """How much flows in each second, of a bucket; 0: it counts in windows."""
        return 0

    @property
    def is_due(self) -> bool:
        """Whether the control plane is to hear: of debt, or of much that is idle or was used."""
        much = 2 * self.share
        if self.used <= much and self.available <= much + self.pledged:
            return self.debt > 0
        return self.debt > 0 or not self.is_local

    def may_get_back(self, amount: int, now: float, spare: float = 1.0) -> bool:
        """Tell whether queries that go on may leave `amount`, after all who wait got theirs.

        Args:
            amount: What is wanted.
            now: Monotonic time, seconds.
            spare: Part of what is reserved for them that they may not use.
        """
        if now >= self.valid_until or self.patient >= MOST_PATIENT or amount > self.limit:
            return False
        return self.unsettled * spare - self.patient * amount > self.limit // _NOTHING

    def windows_owed(self, amount: int) -> int:
        """Return how many whole windows go by, after this one, until `amount` may be taken."""
        if self.limit <= 0:
            return 0
        needed = min(amount, self.limit // _NOTHING + 1)
        return (self.owed + self.debt + needed - 1) // self.limit

    def is_exhausted(self, now: float) -> bool:
        """Tell whether it is known that nothing is left for anyone."""
        return now < self._exhausted_until

    def relimit(self, limit: int) -> None:
        """Go over to another limit: what is held was granted under the old one."""
        self.limit = limit
        self._exhausted_until = -inf
        self.release()

    def release(self, kept: int = 0) -> None:
        """Mark what is held beyond `kept` for return; what was not granted is void."""
        if self.available <= kept or self.is_local:
            self.available = min(self.available, kept)
            return
        self.returned += self.available - kept
        self.granted -= self.available - kept
        self.available = kept
        self._slice = self.low = self.pledged = 0

    def needed(self) -> int:
        """Return what waits, and what streams will need soon."""
        waiting = (waiter for waiter in self.waiters or () if not waiter.taken.done())
        return self.wish + self.pledged + sum(waiter.amount for waiter in waiting)

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
        if remaining > self.limit // _NOTHING:
            # Someone has returned some since.
            self._exhausted_until = -inf

    def note_slice(self, now: float) -> None:
        """Begin to observe how fast what is held now is used."""
        self._slice = self.available
        self._sliced_at = now
        self.low = int(self.available * _LOW)

    def note_exhausted(self, now: float) -> None:
        """Note that nothing is left for anyone in this window, unless some is returned."""
        much = self.unsettled > self.limit // _NOTHING
        seconds = RECHECK_SECONDS if much else _EXHAUSTED_SECONDS
        self.pledged = min(self.pledged, self.available)
        self._exhausted_until = min(self.valid_until, now + seconds)

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
        # What is not returned or told of the window before is void by now.
        self.granted = self.available = self.returned = self.used = self.unsettled = 0
