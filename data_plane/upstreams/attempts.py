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
from modelplane.adapters.providers.types import NativeRequest
from modelplane.adapters.shared.telemetry import log_fields
from modelplane.data_plane.calls.record import Attempt, Record
from modelplane.data_plane.errors import (
    DeadlineExceeded,
    GuardrailTriggered,
    HostedError,
    UpstreamResting,
)
from modelplane.data_plane.snapshots.snapshot import ServedEntity
from modelplane.data_plane.upstreams.attempt_metrics import AttemptMetrics
from modelplane.data_plane.upstreams.circuit import Circuit, Circuits
from modelplane.data_plane.upstreams.exchange import Exchange
from modelplane.data_plane.upstreams.hosted_relay import HostedRelay
from modelplane.data_plane.upstreams.relay import Relay

_log = logging.getLogger(__name__)
_FIRST_BACKOFF_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 2.0
# A provider that asks for a longer pause is not asked again within the same call.
_LONGEST_RETRY_AFTER_SECONDS = 10.0
# What the provider charges for is tried again so often.
_MOST_BILLED_RETRIES = 1
# Counts of tokens under way; what is more gets an estimate.
_MOST_COUNTING = 32
# The caller went away.
_CANCELLED = asyncio.CancelledError.__name__
# The server had given up the connection that was kept for the request.
_STALE = "StaleConnection"
_Failure = AdapterError | DeadlineExceeded | UpstreamResting


class Attempts:
    """Answers queries over a relay."""

    def __init__(
        self,
        relay: Relay,
        hosted: HostedRelay,
        circuits: Circuits,
        metrics: AttemptMetrics,
        random: Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Keep the collaborators.

        Args:
            relay: Makes one attempt at a provider.
            hosted: Asks hosted models, which have neither circuits nor pauses: it knows which of
                their replicas are worth asking.
            circuits: Knows which upstreams are worth one.
            metrics: Counts what is tried again.
            random: Spreads retries over time.
            sleep: Pauses for seconds.
        """
        self._relay = relay
        self._hosted = hosted
        self._now = relay.now
        self._circuits = circuits
        self._metrics = metrics
        self._random = random
        self._sleep = sleep
        self._counting = 0

    async def answer(self, exchange: Exchange, candidates: Sequence[ServedEntity]) -> None:
        """Answer a query.

        Args:
            exchange: The query and its caller.
            candidates: Served entities that may answer, at least one, in order.

        Raises:
            AdapterError: No attempt succeeded; the last one's error.
            DeadlineExceeded: No answer came in time.
            HostedError: A hosted model did not answer.
            UpstreamResting: The upstream has failed too often to be called now.
        """
        relay = self._hosted if candidates[0].group_id else self._relay
        exchange.expires = relay.expiry(exchange.call, exchange.endpoint)
        last = len(candidates) - 1
        for place, entity in enumerate(candidates):
            try:
                if entity.group_id:
                    await self._hosted.answer(exchange, entity, last - place)
                else:
                    await self._try(exchange, entity, last - place)
            except (AdapterError, DeadlineExceeded, HostedError, UpstreamResting) as error:
                if place == last or not _may_fall_back(error) or exchange.expires <= self._now():
                    raise
                self._metrics.fallbacks.inc()
            else:
                return

    async def count_tokens(
        self, entity: ServedEntity, native: NativeRequest, hops: int, endpoint_id: str
    ) -> int | None:
        """Return how many tokens a provider says a query has; None: it does not say, or not now.

        Nothing is held against the upstream: servers that chat and do not count are many.
        Arguments are those of `Relay.count_tokens`.
        """
        if self._counting >= _MOST_COUNTING or entity.group_id:
            return None
        circuit = self._circuits.find(entity.upstream)
        if circuit.admit():
            return None
        self._counting += 1
        try:
            return await self._relay.count_tokens(entity, native, hops, endpoint_id)
        finally:
            self._counting -= 1
            circuit.release()

    async def _try(self, exchange: Exchange, entity: ServedEntity, others: int) -> None:
        """Ask one entity, again where that makes sense; `others` may be asked after it."""
        exchange.record.entity = entity
        circuit = self._circuits.find(entity.upstream)
        retries = 0
        blamed = False
        while True:
            attempt = _Try(exchange.record, entity, circuit, self._metrics, self._now)
            error = await self._ask_once(exchange, attempt, others, blamed=blamed)
            if error is None:
                return
            blamed = blamed or _is_outage(error)
            pause = self._pause(error, exchange, retries, others)
            if pause is None or not circuit.take_retry():
                try:
                    raise error
                finally:
                    del error
            retries += 1
            self._metrics.retries.labels(type(error).__name__).inc()
            await self._sleep(pause)

    async def _ask_once(
        self, exchange: Exchange, attempt: "_Try", others: int, *, blamed: bool
    ) -> _Failure | None:
        """Make one attempt, and return what failed before an answer began."""
        failure: _Failure | None = None
        rest = attempt.circuit.admit()
        if rest:
            failure = UpstreamResting(attempt.entity.name, ceil(rest))
        else:
            try:
                failure = await self._ask(exchange, attempt, others, blamed=blamed)
            except asyncio.CancelledError:
                attempt.note(_CANCELLED)
                raise
            except GuardrailTriggered:
                # The upstream has answered; nobody else is asked for an answer that may pass.
                attempt.note("")
                raise
        attempt.note(type(failure).__name__ if failure else exchange.record.error)
        return failure

    async def _ask(
        self, exchange: Exchange, attempt: "_Try", others: int, *, blamed: bool
    ) -> _Failure | None:
        ask = self._relay.stream if exchange.query.stream else self._relay.answer
        try:
            if urls := self._relay.missing_images(exchange, attempt.entity):
                await self._relay.fetch_images(exchange, attempt.entity, urls)
            broken = await ask(exchange, attempt.entity, attempt, others)
        except (AdapterError, DeadlineExceeded) as error:
            self._judge(attempt, error, blamed=blamed)
            return error
        except GuardrailTriggered:
            self._judge(attempt, None, blamed=blamed)
            raise
        except BaseException:
            attempt.circuit.release()
            raise
        # A stream that failed after it began is answered all the same.
        self._judge(attempt, broken, blamed=blamed)
        return None

    def _judge(
        self, attempt: "_Try", error: AdapterError | DeadlineExceeded | None, *, blamed: bool
    ) -> None:
        """Tell the circuit of an upstream what came of an attempt.

        Args:
            attempt: The attempt.
            error: What failed, if anything did.
            blamed: Whether an earlier attempt of the same call was held against the upstream.
        """
        failed = False
        if error is not None:
            failed = _is_outage(error)
            unasked = isinstance(error, AdapterError) and not error.answered
            if unasked or (failed and (blamed or attempt.excuses(error))):
                attempt.circuit.release()
                return
        changed = attempt.circuit.fail() if failed else attempt.circuit.succeed()
        if changed:
            self._metrics.circuit_changes.labels("open" if failed else "closed").inc()
            fields = log_fields(served_entity=attempt.entity.name, open=failed)
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


def _may_fall_back(error: _Failure | HostedError) -> bool:
    return error.fallback if isinstance(error, AdapterError | HostedError) else True


def _is_outage(error: _Failure) -> bool:
    """Tell whether an error is the upstream's own; a full quota or a bad request is not."""
    if isinstance(error, AdapterError):
        return error.outage
    return isinstance(error, DeadlineExceeded)


class _Try:
    """One attempt at a served entity; also what is told where its request is sent once more.

    Of all that is sent again within a call, a retry is another attempt, with a pause before it and
    a bound that the endpoint sets. The rest is a matter of one attempt: the upstream has said, or
    has shown by hanging up, that it has not acted on the request. Yet all of it is counted and told
    in the same way, and what would burden an upstream that fails comes out of one budget.
    """

    __slots__ = ("_answered", "_metrics", "_now", "_record", "_started", "circuit", "entity")

    def __init__(
        self,
        record: Record,
        entity: ServedEntity,
        circuit: Circuit,
        metrics: AttemptMetrics,
        now: Callable[[], float],
    ) -> None:
        """Start now.

        Args:
            record: The call's.
            entity: Served entity to ask.
            circuit: What is known of its upstream.
            metrics: Counts what is sent again.
            now: The clock of the event loop.
        """
        self.entity = entity
        self.circuit = circuit
        self._record = record
        self._metrics = metrics
        self._now = now
        self._answered = circuit.answered
        self._started = now()
        record.address = record.model = ""

    def stale(self) -> None:
        """Note that the request is sent once more; see `upstream.Resends`."""
        self._note_repeated(_STALE)

    def may_repeat(self, error: str, *, in_passing: bool = False) -> bool:
        """Tell whether the request may be sent once more; see `upstream.Resends`."""
        if not in_passing and not self.circuit.take_retry():
            return False
        self._note_repeated(error)
        return True

    def note(self, error: str) -> None:
        """Note in the record what came of it.

        Args:
            error: Class of the error; empty for a success.
        """
        record, entity, started = self._record, self.entity, self._started
        self._started = now = self._now()
        record.attempts.append(
            Attempt(
                entity.name, error, now - started, started, entity, record.address, record.model
            )
        )

    def excuses(self, error: AdapterError | DeadlineExceeded | None) -> bool:
        """Tell whether an outage says nothing of the upstream."""
        if isinstance(error, DeadlineExceeded) and error.by_caller:
            # Else a caller in a hurry would close the upstream to all others.
            return True
        slow = isinstance(error, DeadlineExceeded | ProviderTimeout)
        # It answered others meanwhile: what took so long is this query.
        return slow and self.circuit.answered > self._answered

    def _note_repeated(self, error: str) -> None:
        self.note(error)
        self._metrics.retries.labels(error).inc()
