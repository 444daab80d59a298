"""One group of replicas: what the control plane has said of it, and who waits for it.

`groups.py` has all of them; `../upstreams/hosted_relay.py` asks for replicas. It belongs to one
event loop, whose clock is meant wherever there is a time.
"""

import asyncio
from collections.abc import Callable, Sequence
from math import ceil, inf
from random import Random

from modelserving.worker.v1 import hosting_pb2 as pb

from modelplane.data_plane.errors import (
    DeadlineExceeded,
    EntityBusy,
    EntityFailed,
    EntityStarting,
    HostedError,
)
from modelplane.data_plane.hosting.balancing import Replica, pick
from modelplane.data_plane.hosting.demand_counts import DemandCounts
from modelplane.data_plane.hosting.suspect_callers import SuspectCallers
from modelplane.data_plane.hosting.suspects import Suspects
from modelplane.data_plane.hosting.waiting import HeldBytes, Queue, Ticket, Waiter

# Until the control plane has said how many.
_USUAL_MAX_WAITING = 200
# Where nobody knows yet how long a replica takes to start.
_USUAL_START_MS = 10_000
_LONGEST_RETRY_SECONDS = 60
_FAILED = pb.GROUP_PHASE_FAILED


class GroupGone(Exception):
    """There is no such group any longer; another one may serve the endpoint by now."""


class Group:
    """The replicas that serve one hosted model of one endpoint.

    Attributes:
        id: Identifier.
        known: Whether the control plane has told of it.
        counts: What is asked of it.
        suspects: Requests that may be what ends its processes.
        callers: Callers who may be, whatever they send.
    """

    def __init__(
        self, group_id: str, held: HeldBytes, random: Random, stir: Callable[["Group"], None]
    ) -> None:
        """Know nothing of it yet but its identifier.

        Args:
            group_id: Its identifier.
            held: Bytes of the requests that wait for any group.
            random: Source of chance.
            stir: Called when there may be something to tell of it.
        """
        self.id = group_id
        self.known = False
        self._loop = asyncio.get_running_loop()
        self._random = random
        self._stir = stir
        self._phase = pb.GROUP_PHASE_UNSPECIFIED
        self._replicas: tuple[Replica, ...] = ()
        self._reason = ""
        self._start_ms = _USUAL_START_MS
        self._max_waiting = _USUAL_MAX_WAITING
        self._gone = False
        self._queue = Queue(held)
        self._roused: asyncio.TimerHandle | None = None
        self.suspects = Suspects()
        self.callers = SuspectCallers()
        self.counts = DemandCounts(self._loop.time())

    # What the requests call.

    @property
    def is_cold(self) -> bool:
        """Whether it has no replica that can be asked, as far as this worker knows."""
        now = self._loop.time()
        return all(replica.is_out(now) for replica in self._replicas)

    @property
    def replicas(self) -> Sequence[Replica]:
        """Its replicas."""
        return self._replicas

    @property
    def waiting(self) -> int:
        """How many requests wait for it."""
        return len(self._queue)

    @property
    def needs_wake(self) -> bool:
        """Whether requests wait that nothing but a new replica can answer."""
        return bool(self._queue) and self.is_cold

    def oldest_wait(self, now: float) -> float:
        """Return for how long the first of those who wait has waited, seconds; 0: none waits."""
        return now - self._queue.oldest if self._queue else 0.0

    def arrive(self) -> None:
        """Count a request that came."""
        self.counts.arrivals += 1
        self._stir(self)

    def count_tokens(self, tokens: int) -> None:
        """Count tokens that were admitted; below zero: what was not used of them."""
        self.counts.tokens += tokens

    async def take(self, ticket: Ticket) -> Replica:
        """Return a replica for one request, which is followed by `give_back`.

        Raises:
            HostedError: There is none now, and too much waits already; or none came in time.
            DeadlineExceeded: None came within the caller's own deadline.
            GroupGone: There is no such group any longer.
        """
        self._check(ticket)
        if not self._queue or ticket.queued:
            replica = self._take()
            if replica is not None:
                return replica
        return await self._wait(ticket)

    def give_back(self, replica: Replica) -> None:
        """Note that a request at a replica has ended, or was not taken by it."""
        replica.in_flight -= 1
        self.counts.change(-1, self._loop.time())
        self._dispatch()

    def note_answer(self, replica: Replica, load: int | None, seconds: float) -> None:
        """Note that a replica has answered a request; before `give_back`.

        Args:
            replica: The replica.
            load: How many requests it says are in it; None: it has not said.
            seconds: How long it took.
        """
        replica.take(seconds)
        if load is not None:
            replica.tell(load, self._loop.time())

    def note_full(self, replica: Replica) -> None:
        """Note that a replica has refused a request since it has too many."""
        replica.refuse(self._loop.time(), self._random)

    def note_lost(self, replica: Replica) -> None:
        """Note that a replica cannot be reached, or does not know this worker."""
        replica.lose(self._loop.time(), self._random)
        self._stir(self)

    # What `Groups` calls.

    def put(self, message: pb.ReplicaGroup) -> None:
        """Take over what the control plane says."""
        self.known = True
        self._phase = message.phase
        self._reason = message.reason
        self._start_ms = message.expected_start_ms or _USUAL_START_MS
        self._max_waiting = message.max_waiting or _USUAL_MAX_WAITING
        before = {(one.id, one.address, one.token): one for one in self._replicas}
        self._replicas = tuple(
            before.get((one.id, one.address, one.token)) or Replica(one) for one in message.replicas
        )
        for replica in self._replicas:
            # It is newer than what this worker has seen itself.
            replica.rouse()
        if self._replicas:
            # Whoever waits for the next first one wakes it at once.
            self.counts.woken_at = -inf
        if self._phase == _FAILED:
            self._refuse_all()
        else:
            self._dispatch()

    def remove(self) -> None:
        """Let nobody wait any longer: the group is gone."""
        self._gone = True
        self._refuse_all()

    def _check(self, ticket: Ticket) -> None:
        if self._gone:
            raise GroupGone
        if self._phase == _FAILED and self.is_cold:
            raise EntityFailed(ticket.entity, self._reason or "its processes do not start.")

    def _take(self) -> Replica | None:
        now = self._loop.time()
        replica = pick(self._replicas, now, self._random)
        if replica is not None:
            replica.in_flight += 1
            self.counts.change(1, now)
        return replica

    async def _wait(self, ticket: Ticket) -> Replica:
        if self._loop.time() >= ticket.expires:
            raise self._refusal(ticket)
        if not ticket.queued and (
            len(self._queue) >= self._max_waiting or not self._queue.has_room(ticket.size)
        ):
            self.counts.refused += 1
            raise self._refusal(ticket)
        if ticket.cold_since is None and self.is_cold:
            ticket.cold_since = self._loop.time()
        waiter = Waiter(ticket, self._loop.create_future())
        self._queue.add(waiter)
        self._stir(self)
        self._watch_rests()
        timer = self._loop.call_at(ticket.expires, self._expire, waiter)
        try:
            return await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.done() and not waiter.turn.cancelled() and not waiter.turn.exception():
                # Its turn came in the moment in which the caller left.
                self.give_back(waiter.turn.result())
            raise
        finally:
            timer.cancel()
            self._queue.leave(waiter)

    def _dispatch(self) -> None:
        """Give those who wait the replicas that have room."""
        while self._queue:
            replica = self._take()
            if replica is None:
                self._watch_rests()
                return
            waiter = self._queue.next()
            if waiter.turn.done():
                replica.in_flight -= 1
                self.counts.change(-1, self._loop.time())
            else:
                waiter.turn.set_result(replica)

    def _watch_rests(self) -> None:
        """Look again when a replica that is left alone may be asked again."""
        if self._roused is not None:
            self._roused.cancel()
            self._roused = None
        now = self._loop.time()
        rests = [one.rests_until for one in self._replicas if one.rests_until > now]
        if rests:
            self._roused = self._loop.call_at(min(rests), self._rouse)

    def _rouse(self) -> None:
        self._roused = None
        self._dispatch()

    def _expire(self, waiter: Waiter) -> None:
        if not waiter.turn.done():
            waiter.turn.set_exception(self._refusal(waiter.ticket))

    def _refuse_all(self) -> None:
        while self._queue:
            waiter = self._queue.next()
            if waiter.turn.done():
                continue
            try:
                self._check(waiter.ticket)
            except (GroupGone, HostedError) as error:
                waiter.turn.set_exception(error)

    def _refusal(self, ticket: Ticket) -> HostedError | DeadlineExceeded:
        """Return why a request does not wait, or no longer."""
        if ticket.in_haste and self._loop.time() >= ticket.expires:
            message = "The model had no room for the request within the caller's deadline."
            return DeadlineExceeded(message, by_caller=True)
        if self.is_cold:
            seconds = min(_LONGEST_RETRY_SECONDS, max(1, ceil(self._start_ms / 1000)))
            return EntityStarting(ticket.entity, seconds)
        return EntityBusy()
