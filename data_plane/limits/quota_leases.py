"""Keeps this worker's slices of limits filled: asks ahead of need, returns what lies idle.

`gate.py` asks it for counters and quota; `quota.py` is one counter, `quota_source.py` the way
to the control plane, `quota_contact.py` knows what holds while there is none. One call is under
way at a time; what is needed meanwhile goes into the next, so that a call is as large as the
control plane is slow.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from math import inf
from weakref import WeakValueDictionary

from modelserving.worker.v1.quota_service_pb2 import (
    LeaseQuotaRequest,
    QuotaDemand,
    QuotaGrant,
)

from modelplane.adapters.shared.rpc.control_link import LinkDown
from modelplane.data_plane.errors import LimitsUnavailable
from modelplane.data_plane.limits.bucket import Bucket
from modelplane.data_plane.limits.quota import RECHECK_SECONDS, Counter, Waiter
from modelplane.data_plane.limits.quota_contact import Contact, Window
from modelplane.data_plane.limits.quota_metrics import QuotaMetrics
from modelplane.data_plane.limits.quota_source import QuotaSource
from modelplane.data_plane.process import Clocks
from modelplane.data_plane.snapshots.limits import Rule, Unit

_BATCH = 1_000
_IDLE_SECONDS = 2.0
# What nobody waits for is told so often at most, unless someone else asks sooner.
TICK_SECONDS = 0.1
# An idle worker asks so often which window it is, and whether anyone is there.
_PING_SECONDS = 15.0
_LONGEST_PAUSE_SECONDS = 1.0


class QuotaLeases:
    """Leases quota for all counters of a worker."""

    def __init__(
        self,
        worker_id: str,
        source: QuotaSource,
        contact: Contact,
        metrics: QuotaMetrics,
        clocks: Clocks,
    ) -> None:
        """Lease from `source`.

        Args:
            worker_id: Identifier of this worker.
            source: The way to the control plane.
            contact: Knows the control plane's windows, and what holds while it is away.
            metrics: Told how it goes.
            clocks: Time and chance.
        """
        self._worker_id = worker_id
        self._source = source
        self._contact = contact
        self._metrics = metrics
        self._clocks = clocks
        self._counters: WeakValueDictionary[bytes, Counter] = WeakValueDictionary()
        self._asking: dict[Counter, None] = {}
        self._wake = asyncio.Event()
        self._idle: deque[tuple[float, int, Counter]] = deque()
        self._answered_at = -inf

    def counter(self, rule: Rule) -> Counter:
        """Return the counter of a rule, under the rule's limit."""
        counter = self._counters.get(rule.key)
        if counter is None:
            settles = rule.unit is Unit.TOKENS
            counter = Counter(rule.key, rule.limit, self._clocks.monotonic(), settles=settles)
            self._counters[rule.key] = counter
        elif counter.limit != rule.limit:
            counter.relimit(rule.limit)
            self.ask(counter)
        return counter

    def bucket(self, key: bytes, rate: int) -> Bucket:
        """Return the bucket of a key, into which so much flows in each second."""
        found = self._counters.get(key)
        if isinstance(found, Bucket):
            if found.rate != rate:
                found.refit(rate)
                self.ask(found)
            return found
        bucket = self._counters[key] = Bucket(key, rate, self._clocks.monotonic())
        return bucket

    def ask(self, counter: Counter) -> None:
        """Ask the control plane for what a counter needs, as soon as that is possible."""
        self._ask_later(counter)
        if counter in self._asking:
            self._wake.set()

    def ask_ahead(self, counter: Counter, now: float) -> None:
        """Ask for more if it will soon be needed."""
        if not counter.asked and not counter.is_local and counter.ahead(0, now):
            self.ask(counter)

    def take_up_to(self, counter: Counter, amount: int, now: float) -> int:
        """Take as much of `amount` as can be had without waiting; ask for it if none can."""
        if self._contact.is_lost and counter.available <= 0:
            # Opens the window that it may be by now.
            with suppress(LimitsUnavailable):
                self._contact.decide(counter, 0, now)
        there = min(amount, counter.available)
        if there > 0 and counter.take(there, now):
            counter.pledged = max(0, counter.pledged - there)
            return there
        if not counter.asked and not counter.is_exhausted(now):
            counter.wish = amount
            self.ask(counter)
        return 0

    async def obtain(self, counter: Counter, amount: int) -> int | None:
        """Take `amount`, waiting for the control plane if it must be asked.

        Returns:
            What was taken: `amount`, or the rest of what is left, which may be less; 0: nothing is
            left. None: it is admitted without counting.

        Raises:
            LimitsUnavailable: The control plane is away, and the policy is to refuse.
        """
        now = self._clocks.monotonic()
        if counter.take(amount, now):
            return amount
        if counter.limit < amount:
            return 0
        if counter.is_exhausted(now):
            return counter.take_rest(amount, now)
        if self._contact.is_lost:
            return self._contact.decide(counter, amount, now)
        if counter.is_local and now < counter.valid_until:
            return counter.take_rest(amount, now)
        return await self._wait_for(counter, amount)

    async def pause(self) -> None:
        """Wait until it is time to ask again for what is exhausted; all who wait ask at once."""
        now = self._clocks.monotonic()
        await self._clocks.sleep(RECHECK_SECONDS - now % RECHECK_SECONDS)

    def settle(self, counter: Counter, amount: int, used: int, window: int) -> None:
        """Note what was used for `amount`, taken in `window`; see `Counter.settle`."""
        now = self._clocks.monotonic()
        counter.settle(amount, used, window, now)
        self._watch(counter, now)
        if counter.is_due:
            self._ask_later(counter)

    async def run(self) -> None:
        """Ask whenever something is needed, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not await self._lease():
                pause = self._clocks.random.uniform(0.1, _LONGEST_PAUSE_SECONDS)
                await self._clocks.sleep(pause)
            if self._contact.is_lost:
                self._wake.set()

    async def tick(self) -> None:
        """Look after what nobody asks for, until cancelled."""
        while True:
            await self._clocks.sleep(TICK_SECONDS)
            now = self._clocks.monotonic()
            self._return_idle(now)
            is_silent = self._counters and now - self._answered_at > _PING_SECONDS
            if self._asking or is_silent:
                self._wake.set()

    async def aclose(self) -> None:
        """Return what is held, once neither `run` nor a query goes on."""
        self._asking = {}
        for counter in list(self._counters.values()):
            counter.release()
            if counter.debt or counter.returned:
                self._asking[counter] = None
        while self._asking and await self._lease():
            pass

    async def _wait_for(self, counter: Counter, amount: int) -> int | None:
        waiter = Waiter(amount, asyncio.get_running_loop().create_future())
        if counter.waiters is None:
            counter.waiters = deque()
        counter.waiters.append(waiter)
        self.ask(counter)
        try:
            return await waiter.taken
        except asyncio.CancelledError:
            if waiter.taken.done() and not waiter.taken.cancelled():
                self._undo(waiter, counter)
            raise

    async def _lease(self) -> bool:
        """Make one call; return whether it was answered."""
        batch = list(islice(self._asking, _BATCH))
        for counter in batch:
            del self._asking[counter]
        if self._asking:
            self._wake.set()
        sent = self._clocks.monotonic()
        demands = [_demand(counter, sent, is_lost=self._contact.is_lost) for counter in batch]
        request = LeaseQuotaRequest(worker_id=self._worker_id, demands=demands)
        try:
            response = await self._source.lease(request)
        except LinkDown as error:
            self._note_failure(batch, demands, str(error))
            return False
        now = self._answered_at = self._clocks.monotonic()
        self._metrics.leases.labels("answered").inc()
        self._metrics.away.set(0)
        window = self._contact.note_answer(response, sent, now)
        for counter, demand, grant in zip(batch, demands, response.grants, strict=True):
            counter.asked = False
            self._apply(counter, demand, grant, window, now)
            self._serve(counter, now)
        return True

    def _apply(
        self,
        counter: Counter,
        demand: QuotaDemand,
        grant: QuotaGrant,
        window: Window,
        now: float,
    ) -> None:
        if counter.is_local and now < counter.valid_until:
            return
        counter.end_local()
        counter.fill(grant.granted, grant.remaining, window.number, window.ends_from)
        counter.owed, counter.share = grant.debt, grant.share
        if counter.settles:
            counter.unsettled = grant.unsettled
        if counter.limit != demand.limit:
            # Granted under the limit of an older configuration.
            counter.release()
            return
        counter.note_slice(now)
        if grant.granted < demand.needed or not grant.remaining:
            counter.note_exhausted(now)
        elif demand.wanted and grant.granted == demand.needed:
            # There is too little left for anyone to get some ahead of need.
            counter.low = -1

    def _serve(self, counter: Counter, now: float) -> None:
        """Give waiters what is there; ask again for those who came while the call was under way."""
        waiters, left = counter.waiters or (), deque[Waiter]()
        counter.waiters = None
        for waiter in waiters:
            if waiter.taken.done():
                continue
            if not left and counter.take(waiter.amount, now):
                waiter.taken.set_result(waiter.amount)
            elif counter.is_exhausted(now):
                waiter.taken.set_result(counter.take_rest(waiter.amount, now))
            else:
                left.append(waiter)
        counter.waiters = left or None
        if left:
            self.ask(counter)
        elif counter.returned or counter.is_due:
            self._ask_later(counter)
        self._watch(counter, now)

    def _note_failure(
        self, batch: Sequence[Counter], demands: Sequence[QuotaDemand], reason: str
    ) -> None:
        now = self._clocks.monotonic()
        self._metrics.leases.labels("failed").inc()
        self._metrics.away.set(1)
        self._contact.note_failure(reason, now)
        for counter, demand in zip(batch, demands, strict=True):
            # Debt is told until it is heard; what was returned may have arrived.
            counter.debt += demand.debt
        asking, self._asking = [*batch, *self._asking], {}
        for counter in asking:
            counter.asked = False
            self._settle_lost(counter, now)
        for counter in asking:
            if counter.debt or counter.returned:
                self.ask(counter)

    def _settle_lost(self, counter: Counter, now: float) -> None:
        waiters, counter.waiters = counter.waiters or (), None
        for waiter in waiters:
            if waiter.taken.done():
                continue
            try:
                waiter.taken.set_result(self._contact.decide(counter, waiter.amount, now))
            except LimitsUnavailable as error:
                waiter.taken.set_exception(error)

    def _ask_later(self, counter: Counter) -> None:
        """Ask with the next call, whatever that is for."""
        if not counter.asked:
            counter.asked = True
            self._asking[counter] = None

    def _watch(self, counter: Counter, now: float) -> None:
        """Look at a counter again soon, if it holds something."""
        if counter.available > 0 and not counter.watched:
            counter.watched = True
            self._idle.append((now + _IDLE_SECONDS, counter.available, counter))

    def _return_idle(self, now: float) -> None:
        """Return what has not been touched since it was last looked at."""
        while self._idle and self._idle[0][0] <= now:
            _, seen, counter = self._idle.popleft()
            counter.watched = False
            if now >= counter.valid_until or counter.is_local:
                continue
            if counter.available == seen and counter.waiters is None:
                counter.release()
                self._ask_later(counter)
            else:
                self._watch(counter, now)

    def _undo(self, waiter: Waiter, counter: Counter) -> None:
        if waiter.taken.exception() is None and (taken := waiter.taken.result()):
            self.settle(counter, taken, 0, counter.window)


def _demand(counter: Counter, now: float, *, is_lost: bool) -> QuotaDemand:
    """Return what a counter needs; what it returns and owes is handed over with it."""
    needed = wanted = 0
    valid = now < counter.valid_until
    if not (valid and counter.is_local):
        held = counter.available if valid else 0
        asked = counter.needed()
        if valid and not is_lost and held > asked + 2 * counter.share:
            counter.release(asked + counter.share)
        else:
            needed = max(0, asked - held)
            wanted = needed + counter.ahead(needed, now)
    demand = QuotaDemand(
        key=counter.key,
        limit=counter.limit,
        needed=needed,
        wanted=wanted,
        returned=counter.returned,
        returned_window=max(0, counter.window),
        debt=counter.debt,
        used=0 if counter.is_local else counter.used,
        rate=counter.rate,
    )
    counter.pledged += counter.wish
    counter.returned = counter.debt = counter.wish = counter.used = 0
    return demand
