"""Grants workers slices of limits, so that all slices of a window together stay within them.

Before: `quota_servicer`. After: `store.quota`. Beside: `turns`, by which calls share transactions.
The worker's side is its `quota`.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.limits.turns import Take, Turns
from modelplane.control_plane.shared_clock import SharedClock
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.quota import (
    Counter,
    change_counters,
    count_workers,
    remove_counters,
)

WINDOW_MS = 60_000
# Debt that nobody asked to use more after for so long is forgiven.
_KEEP_WINDOWS = 10
# A replica that has not told of its workers for so long is gone.
_ALIVE_MS = 4_000
# Of what is left, a worker gets ahead of need at most its share when it is split this often among
# all workers.
_SPLIT = 2
# What a worker may let lie idle, of the whole limit split among all. It returns what is more than
# twice as much, so that no more than a twentieth of a limit lies idle while others are refused.
_IDLE_SPLIT = 40
_THOUSAND = 1000
# Transactions at a time. SQLite has one writer; of PostgreSQL's, one may wait for a row's lock.
_TURNS_SQLITE = 1
_TURNS_POSTGRESQL = 4
# Counters of one transaction, unless a single call has more.
_MOST_COUNTERS = 2_000


@dataclass(frozen=True, slots=True)
class Demand:
    """What a worker needs of one counter, and tells of it; see `QuotaDemand` of the protos."""

    key: bytes
    limit: int
    needed: int = 0
    wanted: int = 0
    returned: int = 0
    returned_window: int = 0
    debt: int = 0
    used: int = 0
    rate: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """What a worker got of one counter, and how the counter stands for all.

    Attributes:
        granted: What it got.
        remaining: What is left for all.
        unsettled: What all were granted and have not told to be used.
        debt: What the windows to come owe.
        share: What a worker may let lie idle.
    """

    granted: int
    remaining: int
    unsettled: int = 0
    debt: int = 0
    share: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """What a worker got.

    Attributes:
        window: Window in which it may be used: minutes since the epoch.
        remaining_ms: Time from the grant to the end of the window.
        grants: In the order of the demands.
    """

    window: int
    remaining_ms: int
    grants: Sequence[Grant]


@dataclass(frozen=True, slots=True)
class _Call:
    """What one worker asks for."""

    worker_id: str
    demands: Sequence[Demand]


class Quota:
    """Owns the counters; any number of replicas on one PostgreSQL own them together."""

    def __init__(self, database: Database, clock: SharedClock) -> None:
        """Count in `database`.

        Args:
            database: Where the counters are.
            clock: Time of the windows.
        """
        self._database = database
        self._clock = clock
        self._seen: dict[str, int] = {}
        self._swept_window = 0
        # Workers of all replicas, as of the last sweep.
        self._connected = 0
        most = _TURNS_POSTGRESQL if database.is_postgresql else _TURNS_SQLITE
        self._turns = Turns(self._lease_all, lambda call: len(call.demands), most, _MOST_COUNTERS)

    async def lease(self, worker_id: str, demands: Sequence[Demand]) -> Lease:
        """Grant what can be granted, all in one transaction, with what others ask at the time.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        return await self._turns.take(_Call(worker_id, demands))

    async def _lease_all(self, take: Take[_Call]) -> Sequence[Lease]:
        """Answer those who wait, in one transaction.

        Args:
            take: Tells who they are. Asked late, since most time passes until the database is free.
        """
        calls: Sequence[_Call] = ()

        def ask() -> Collection[bytes]:
            nonlocal calls
            calls = take()
            return {demand.key for call in calls for demand in call.demands}

        def grant(counters: Mapping[bytes, Counter], now_ms: int) -> tuple[int, list[list[Grant]]]:
            # One after the other, as if each had a transaction of its own.
            return now_ms, [self._grant_all(call, counters, now_ms) for call in calls]

        now_ms, granted = await change_counters(self._database, self._clock.own, ask, grant)
        window = now_ms // WINDOW_MS
        await self._sweep(window)
        remaining_ms = WINDOW_MS - now_ms % WINDOW_MS
        return [Lease(window, remaining_ms, grants) for grants in granted]

    def _grant_all(
        self, call: _Call, counters: Mapping[bytes, Counter], now_ms: int
    ) -> list[Grant]:
        window = now_ms // WINDOW_MS
        workers = self._note_worker(call.worker_id, window)
        return [
            pour(counters[demand.key], demand, now_ms, workers)
            if demand.rate
            else _grant(counters[demand.key], demand, window, workers)
            for demand in call.demands
        ]

    def _note_worker(self, worker_id: str, window: int) -> int:
        """Return the number of workers: those that asked in this window or the one before.

        Those of other replicas do not ask here.
        """
        if window not in self._seen.values():
            self._seen = {name: seen for name, seen in self._seen.items() if seen == window - 1}
        self._seen[worker_id] = window
        return max(len(self._seen), self._connected)

    async def _sweep(self, window: int) -> None:
        """Delete what old windows left behind, and count workers, once in each window."""
        if self._swept_window == window:
            return
        self._swept_window = window
        # The lease is committed by now: it is not to fail because of this.
        with suppress(StoreUnavailable):
            async with self._database.write() as transaction:
                await remove_counters(transaction, window - _KEEP_WINDOWS)
                since_ms = await self._clock.now_ms(transaction.session) - _ALIVE_MS
                self._connected = await count_workers(transaction, since_ms)


def _grant(counter: Counter, demand: Demand, window: int, workers: int) -> Grant:
    """Move a counter on to `window`, settle, and grant what may be."""
    _enter_window(counter, demand.limit, window)
    if demand.returned_window == counter.window:
        counter.granted = max(0, counter.granted - demand.returned)
        counter.used = min(counter.granted, counter.used + demand.used)
    owed = counter.debt + demand.debt
    paid = min(owed, max(0, demand.limit - counter.granted))
    counter.debt = owed - paid
    counter.granted += paid
    counter.used += paid
    remaining = max(0, demand.limit - counter.granted)
    granted, share = _part(demand, remaining, workers)
    counter.granted += granted
    unsettled = counter.granted - counter.used
    return Grant(granted, remaining - granted, unsettled, counter.debt, share)


def pour(counter: Counter, demand: Demand, now_ms: int, workers: int) -> Grant:
    """Let a bucket fill up to now, settle, and grant what may be.

    Of its row, `granted` is how full it is, in thousandths, and below zero where more was used than
    it had; `used` is when that was. A bucket that nobody has used for long is full.

    Args:
        counter: The bucket.
        demand: What a worker needs of it; the limit is what it holds.
        now_ms: Time, milliseconds since the epoch.
        workers: Number of workers.
    """
    full = demand.limit * _THOUSAND
    level = full
    if counter.used:
        # A thousandth flows in each millisecond for each one in a second.
        level = counter.granted + demand.rate * max(0, now_ms - counter.used)
    level = min(full, level + demand.returned * _THOUSAND) - demand.debt * _THOUSAND
    remaining = max(0, level // _THOUSAND)
    granted, share = _part(demand, remaining, workers)
    level -= granted * _THOUSAND
    counter.granted, counter.used, counter.window = level, now_ms, now_ms // WINDOW_MS
    return Grant(granted, remaining - granted, debt=-min(0, level) // _THOUSAND, share=share)


def _part(demand: Demand, remaining: int, workers: int) -> tuple[int, int]:
    """Return what a worker gets of what is left, and what it may let lie idle."""
    share = demand.limit // (_IDLE_SPLIT * workers)
    ahead = min(demand.wanted, remaining // (_SPLIT * workers), share)
    return min(remaining, max(demand.needed, ahead)), share


def standing(counter: Counter, limit: int, window: int) -> int:
    """Return what is taken of a window, what it owes included, as long as nobody asks for more.

    Args:
        counter: The counter, which is moved on to the window.
        limit: How much a window has.
        window: The window.
    """
    _enter_window(counter, limit, window)
    return counter.granted + min(counter.debt, max(0, limit - counter.granted))


def _enter_window(counter: Counter, limit: int, window: int) -> None:
    # A clock that was set back by a window does not open that window again; one that had been far
    # ahead is not waited for.
    if counter.window in (window, window + 1):
        return
    # Windows that nobody asked in have paid, too.
    skipped = max(0, window - counter.window - 1)
    counter.debt = max(0, counter.debt - limit * skipped)
    counter.granted = counter.used = 0
    counter.window = window
