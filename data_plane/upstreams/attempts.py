"""Tries the served entities that may answer a query, until one does.

Called by `invocation.py` with the candidates in order; `relay.py` makes one attempt, `circuit.py`
says whether it is worth one. What failed is tried again only before the first byte of an answer,
and never for a mistake of the caller's own: `adapters/providers/errors.py` has the table.

A call is held against an upstream once, however often it was tried, and what took too long not at
all when the upstream answered others meanwhile: one conversation must not close it to all others.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from math import ceil
from random import Random

from modelplane.adapters.providers.errors import AdapterError, ProviderTimeout, RateLimited
from modelplane.adapters.shared.telemetry import log_fields
from modelplane.data_plane.calls.call import Call
from modelplane.data_plane.calls.record import Attempt, Record
from modelplane.data_plane.errors import DeadlineExceeded, UpstreamResting
from modelplane.data_plane.snapshots.snapshot import Endpoint, ServedEntity
from modelplane.data_plane.upstreams.attempt_metrics import AttemptMetrics
from modelplane.data_plane.upstreams.circuit import Circuit, Circuits
from modelplane.data_plane.upstreams.relay import Exchange, Relay

_log = logging.getLogger(__name__)
_FIRST_BACKOFF_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 2.0
# A provider that asks for a longer pause is not asked again within the same call.
_LONGEST_RETRY_AFTER_SECONDS = 10.0
# What the provider charges for is tried again so often.
_MOST_BILLED_RETRIES = 1
# The caller went away.
_CANCELLED = asyncio.CancelledError.__name__
_Failure = AdapterError | DeadlineExceeded | UpstreamResting


class Attempts:
    """Answers queries over a relay."""

    def __init__(
        self,
        relay: Relay,
        circuits: Circuits,
        metrics: AttemptMetrics,
        random: Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Keep the collaborators.

        Args:
            relay: Makes one attempt.
            circuits: Knows which upstreams are worth one.
            metrics: Counts what is tried again.
            random: Spreads retries over time.
            sleep: Pauses for seconds.
        """
        self._relay = relay
        self._now = relay.now
        self._circuits = circuits
        self._metrics = metrics
        self._random = random
        self._sleep = sleep

    def expiry(self, call: Call, endpoint: Endpoint) -> float:
        """Return when the answer to a call must have begun, on the clock of the event loop."""
        return self._relay.expiry(call, endpoint)

    async def answer(self, exchange: Exchange, candidates: Sequence[ServedEntity]) -> None:
        """Answer a query.

        Args:
            exchange: The query and its caller.
            candidates: Served entities that may answer, at least one, in order.

        Raises:
            AdapterError: No attempt succeeded; the last one's error.
            DeadlineExceeded: No answer came in time.
            UpstreamResting: The upstream has failed too often to be called now.
        """
        last = len(candidates) - 1
        for place, entity in enumerate(candidates):
            try:
                await self._try(exchange, entity, last - place)
            except (AdapterError, DeadlineExceeded, UpstreamResting) as error:
                if place == last or not _may_fall_back(error) or exchange.expires <= self._now():
                    raise
                self._metrics.fallbacks.inc()
            else:
                return

    async def _try(self, exchange: Exchange, entity: ServedEntity, others: int) -> None:
        """Ask one entity, again where that makes sense; `others` may be asked after it."""
        exchange.record.entity = entity
        circuit = self._circuits.find(entity.upstream)
        retries = 0
        blamed = False
        while True:
            error = await self._ask_once(exchange, entity, _Blame(circuit, blamed=blamed), others)
            if error is None:
                return
            blamed = blamed or _is_outage(error)
            pause = self._pause(error, exchange, retries, others)
            if pause is None or not circuit.take_retry():
                raise error
            retries += 1
            self._metrics.retries.inc()
            await self._sleep(pause)

    async def _ask_once(
        self, exchange: Exchange, entity: ServedEntity, blame: "_Blame", others: int
    ) -> _Failure | None:
        """Make one attempt, and return what failed before an answer began."""
        started = self._now()
        failure: _Failure | None = None
        rest = blame.circuit.admit()
        if rest:
            failure = UpstreamResting(entity.name, ceil(rest))
        else:
            try:
                failure = await self._ask(exchange, entity, blame, others)
            except asyncio.CancelledError:
                self._note_attempt(exchange.record, entity, _CANCELLED, started)
                raise
        error = type(failure).__name__ if failure else exchange.record.error
        self._note_attempt(exchange.record, entity, error, started)
        return failure

    async def _ask(
        self, exchange: Exchange, entity: ServedEntity, blame: "_Blame", others: int
    ) -> _Failure | None:
        ask = self._relay.stream if exchange.query.stream else self._relay.answer
        try:
            broken = await ask(exchange, entity, others)
        except (AdapterError, DeadlineExceeded) as error:
            self._note(entity, blame, error)
            return error
        except BaseException:
            blame.circuit.release()
            raise
        # A stream that failed after it began is answered all the same.
        self._note(entity, blame, broken)
        return None

    def _note_attempt(
        self, record: Record, entity: ServedEntity, error: str, started: float
    ) -> None:
        seconds = self._now() - started
        record.attempts.append(
            Attempt(entity.name, error, seconds, started, entity, record.address, record.model)
        )
        record.address = record.model = ""

    def _note(
        self, entity: ServedEntity, blame: "_Blame", error: AdapterError | DeadlineExceeded | None
    ) -> None:
        failed = error is not None and _is_outage(error)
        if blame.excuses(error):
            blame.circuit.release()
            return
        changed = blame.circuit.fail() if failed else blame.circuit.succeed()
        if changed:
            self._metrics.circuit_changes.labels("open" if failed else "closed").inc()
            fields = log_fields(served_entity=entity.name, open=failed)
            _log.warning("the circuit of an upstream changed", extra=fields)

    def _pause(
        self, error: _Failure, exchange: Exchange, retries: int, others: int
    ) -> float | None:
        """Return the seconds until the same entity may be asked again; None: it may not."""
        if retries >= exchange.endpoint.policy.max_retries or not isinstance(error, AdapterError):
            return None
        # Another entity can answer sooner than one that asks for a pause.
        if not error.retryable or (others and isinstance(error, RateLimited)):
            return None
        if error.billed and retries >= _MOST_BILLED_RETRIES:
            return None
        bound = min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2**retries)
        pause = self._random.uniform(0, bound)
        if error.retry_after is not None:
            if error.retry_after > _LONGEST_RETRY_AFTER_SECONDS:
                return None
            pause += error.retry_after
        return pause if pause < exchange.expires - self._now() else None


def _may_fall_back(error: _Failure) -> bool:
    return error.fallback if isinstance(error, AdapterError) else True


def _is_outage(error: _Failure) -> bool:
    """Tell whether an error is the upstream's own; a full quota or a bad request is not."""
    if isinstance(error, AdapterError):
        return error.outage
    return isinstance(error, DeadlineExceeded)


class _Blame:
    """What one attempt says against its upstream."""

    __slots__ = ("_answered", "_blamed", "circuit")

    def __init__(self, circuit: Circuit, *, blamed: bool) -> None:
        """Start an attempt.

        Args:
            circuit: What is known of the upstream.
            blamed: Whether an earlier attempt of the same call was held against it.
        """
        self.circuit = circuit
        self._blamed = blamed
        self._answered = circuit.answered

    def excuses(self, error: AdapterError | DeadlineExceeded | None) -> bool:
        """Tell whether an outcome says nothing of the upstream."""
        if error is None or not _is_outage(error):
            return False
        if self._blamed:
            return True
        if isinstance(error, DeadlineExceeded) and error.by_caller:
            # Else a caller in a hurry would close the upstream to all others.
            return True
        slow = isinstance(error, DeadlineExceeded | ProviderTimeout)
        # It answered others meanwhile: what took so long is this query.
        return slow and self.circuit.answered > self._answered
