"""Carries the answer of a provider back to the caller, whole or as it comes.

Called by `attempts.py`; `upstream.py` calls the provider, `streaming.py` shapes. The caller
is answered only when the provider's answer, or its first chunk, is there, so that what fails
before is a refusal with its own status. What fails later ends the stream, as the reply can say it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from urllib.parse import urlsplit

from modelplane.adapters.providers.base import Passage
from modelplane.adapters.providers.canonical.forms import (
    parse_answers,
    parse_error,
)
from modelplane.adapters.providers.canonical.json_values import parse_json_object
from modelplane.adapters.providers.errors import AdapterError, NoAnswer
from modelplane.adapters.providers.http.transport import HttpResponse
from modelplane.adapters.providers.types import (
    HttpAnswer,
    Image,
    NativeRequest,
    Plan,
    parse_usage,
)
from modelplane.data_plane.accounting import Accountant
from modelplane.data_plane.calls.call import Call
from modelplane.data_plane.calls.characters import answer_characters
from modelplane.data_plane.calls.guarding import take_turns
from modelplane.data_plane.calls.record import Record
from modelplane.data_plane.calls.tasks import spec_of
from modelplane.data_plane.errors import DeadlineExceeded
from modelplane.data_plane.snapshots.snapshot import Endpoint, ServedEntity
from modelplane.data_plane.upstreams.deadlines import Deadlines
from modelplane.data_plane.upstreams.exchange import Exchange, model_of
from modelplane.data_plane.upstreams.hops import mark_hop
from modelplane.data_plane.upstreams.passed_stream import PassedStream
from modelplane.data_plane.upstreams.relayed_stream import RelayedStream, StreamSeconds
from modelplane.data_plane.upstreams.settling import settle
from modelplane.data_plane.upstreams.streaming import encode_answer
from modelplane.data_plane.upstreams.upstream import SUCCESS, Resends, Upstream

# An estimate serves those who would wait longer for a count.
_COUNT_SECONDS = 5.0
_NO_IMAGES: Mapping[str, Image] = {}


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds on a provider's answer.

    Attributes:
        answer_seconds: Until a whole answer, or the first chunk of a stream, is there.
        idle_seconds: Between two chunks of a stream.
        stream_seconds: From the first chunk of a stream to its end.
    """

    answer_seconds: float
    idle_seconds: float
    stream_seconds: float = inf


class _Once:
    """Sends what is no query once; see `upstream.Resends`."""

    def stale(self) -> None:
        """Note nothing."""

    def may_repeat(self, error: str, *, in_passing: bool = False) -> bool:
        """Allow what another call has paid for."""
        del error
        return in_passing


class Relay:
    """Calls providers over one transport, in the event loop in which it was made."""

    def __init__(
        self,
        upstream: Upstream,
        accountant: Accountant,
        timeouts: Timeouts,
        hold: Callable[[Record, int], None] = lambda _record, _size: None,
    ) -> None:
        """Call providers.

        Args:
            upstream: Calls them.
            accountant: Told of what comes back.
            timeouts: Bound it.
            hold: Told of the bytes that a call's body and images take; raises where there is no
                room for them.
        """
        self._hold = hold
        self._upstream = upstream
        self._accountant = accountant
        self._timeouts = timeouts
        loop = asyncio.get_running_loop()
        self.now = loop.time
        self._deadlines = Deadlines(loop)

    def expiry(self, call: Call, endpoint: Endpoint) -> float:
        """Return when the answer to a call must have begun, on the clock of the event loop."""
        limit = max(self._timeouts.answer_seconds, endpoint.policy.first_byte_seconds or 0)
        if call.deadline_seconds is not None:
            limit = min(limit, call.deadline_seconds)
        return self.now() + limit

    def missing_images(self, exchange: Exchange, entity: ServedEntity) -> Sequence[str]:
        """Return the URLs of images that must be fetched before an entity is asked.

        Raises:
            AdapterError: The query cannot be put to its provider.
        """
        if _passage(exchange, entity) is not None:
            return ()
        try:
            urls = entity.adapter.image_urls(exchange.query)
        except AdapterError as error:
            error.answered = False
            raise
        return [url for url in urls if url not in (exchange.images or ())] if urls else urls

    async def fetch_images(
        self, exchange: Exchange, entity: ServedEntity, urls: Sequence[str]
    ) -> None:
        """Fetch what the provider takes only as content, once for all attempts of a call.

        The time that it takes is none of the provider's, whose deadline begins after it.

        Args:
            exchange: The query, which gets the images.
            entity: Served entity that is to be asked.
            urls: What `missing_images` has said.

        Raises:
            AdapterError: One cannot be had.
            DeadlineExceeded: It cannot be had in time.
        """
        provider, owner, record = entity.provider, exchange.endpoint.id, exchange.record
        before = record.held_bytes
        remaining = exchange.expires - self.now()
        try:
            with self._deadlines.within(remaining):
                fetched = await self._upstream.fetch_images(
                    provider, urls, owner, lambda size: self._hold(record, before + size)
                )
        except TimeoutError:
            raise _too_slow(remaining, by_caller=True) from None
        exchange.images = {**(exchange.images or {}), **fetched}

    async def answer(
        self, exchange: Exchange, entity: ServedEntity, resends: Resends, others: int = 0
    ) -> None:
        """Answer with one JSON document.

        Args:
            exchange: The query and its caller.
            entity: Served entity to ask.
            resends: Told where a request is sent once more.
            others: Number of entities that may be asked when this one does not answer in time.

        Raises:
            AdapterError: The provider did not answer.
            DeadlineExceeded: It did not answer in time.
        """
        limit = self._answer_limit(exchange, others)
        try:
            with self._deadlines.within(limit):
                passage = _passage(exchange, entity)
                plan = self._plan(exchange, entity, passage)
                answers = await self._upstream.send_all(entity.adapter, plan.requests, resends)
        except TimeoutError:
            raise _too_slow(limit, by_caller=self._is_cut_short(exchange)) from None
        if passage is not None:
            await self._pass_answer(exchange, entity, passage, plan, answers[0])
            return
        try:
            answer = parse_answers(entity.adapter, exchange.query, answers, entity.provider)
        except AdapterError as error:
            exchange.record.usage = error.usage
            raise
        holds = spec_of(entity.task).answer
        if holds and not isinstance(answer.get(holds), list):
            raise NoAnswer(entity.provider, f"the server's answer has no '{holds}'")
        usage = exchange.record.usage = parse_usage(answer)
        if exchange.record.trace is not None:
            exchange.record.model = model_of(answer)
        if exchange.record.ticket:
            exchange.record.output_characters = answer_characters(answer)
        if exchange.record.guard is not None:
            await take_turns(exchange.record.guard.read_answer(answer, usage))
        reply, name = exchange.reply, exchange.endpoint.name
        document = encode_answer(entity.provider, name, reply.encode, answer)
        await reply.answer(exchange.metadata(entity, plan), document)

    async def _pass_answer(
        self,
        exchange: Exchange,
        entity: ServedEntity,
        passage: Passage,
        plan: Plan,
        answer: HttpAnswer,
    ) -> None:
        """Answer with what the provider has answered, as it is."""
        read = parse_json_object(entity.provider, answer.body)
        if error := passage.error(read):
            try:
                raise error
            finally:
                del error
        exchange.record.usage = passage.usage(read)
        if exchange.record.trace is not None:
            exchange.record.model = model_of(read)
        await exchange.reply.answer(exchange.metadata(entity, plan), answer.body)

    async def count_tokens(
        self, entity: ServedEntity, native: NativeRequest, hops: int, endpoint_id: str
    ) -> int | None:
        """Return how many tokens the provider says a query has; None: it does not say.

        Args:
            entity: Served entity to ask.
            native: The query, in the provider's own form.
            hops: How many gateways it has come through.
            endpoint_id: Endpoint that it is for.
        """
        passage = entity.adapter.passage(native.protocol)
        try:
            plan = passage.plan_count(native) if passage else None
            if passage is None or plan is None:
                return None
            mark_hop(plan, hops, endpoint_id)
            with self._deadlines.within(_COUNT_SECONDS):
                (answer,) = await self._upstream.send_all(entity.adapter, plan.requests, _Once())
            return passage.counted(parse_json_object(entity.provider, answer.body))
        except (AdapterError, TimeoutError):
            return None

    async def stream(
        self, exchange: Exchange, entity: ServedEntity, resends: Resends, others: int = 0
    ) -> AdapterError | DeadlineExceeded | None:
        """Answer with a stream of chunks; arguments as of `answer`.

        Returns:
            What broke the stream off after it began, if anything did.

        Raises:
            AdapterError: The provider failed before the first chunk.
            DeadlineExceeded: The first chunk did not come in time.
        """
        seconds = self._stream_seconds(exchange)
        passage = _passage(exchange, entity)
        stream = self._begin(exchange, entity, passage, seconds)
        limit = self._answer_limit(exchange, others)
        try:
            with self._deadlines.within(limit) as deadline:
                response = await self._open(exchange, entity, passage, stream, resends)
                try:
                    await stream.run(response, deadline)
                    deadline.move(inf)
                    if not stream.is_cut:
                        await settle(response, self._deadlines)
                finally:
                    stream.note_usage()
                    response.close()
        except AdapterError as error:
            if not stream.started:
                raise
            await stream.fail(error)
            return error
        except TimeoutError:
            if not stream.started:
                raise self._lateness(exchange, stream, limit) from None
            late = self._lateness(exchange, stream, limit)
            await stream.fail(late)
            return late
        return None

    def _begin(
        self,
        exchange: Exchange,
        entity: ServedEntity,
        passage: Passage | None,
        seconds: StreamSeconds,
    ) -> RelayedStream:
        common = (exchange, entity, self._accountant, self.now, seconds)
        return RelayedStream(*common) if passage is None else PassedStream(passage, *common)

    def _stream_seconds(self, exchange: Exchange) -> StreamSeconds:
        idle = exchange.endpoint.policy.idle_seconds or self._timeouts.idle_seconds
        whole = self._timeouts.stream_seconds
        if exchange.call.deadline_seconds is not None:
            whole = min(whole, exchange.call.deadline_seconds)
        return StreamSeconds(self._own_limit(exchange), idle, whole)

    def _lateness(
        self, exchange: Exchange, stream: RelayedStream, limit: float
    ) -> DeadlineExceeded:
        """Return what ended a stream whose time was over; `limit` is that until its first chunk."""
        if stream.is_too_long:
            message = f"The stream was ended: it went on for {stream.seconds.whole:g} seconds."
            return DeadlineExceeded(message, by_caller=True)
        if stream.started:
            return _too_slow(stream.seconds.idle, by_caller=False)
        return _too_slow(limit, by_caller=self._is_cut_short(exchange))

    async def _open(
        self,
        exchange: Exchange,
        entity: ServedEntity,
        passage: Passage | None,
        stream: RelayedStream,
        resends: Resends,
    ) -> HttpResponse:
        """Return the successful response to a stream's request."""
        adapter = entity.adapter
        while True:
            stream.plan = self._plan(exchange, entity, passage)
            response = await self._upstream.open(adapter, stream.plan.requests[0], resends)
            if response.status in SUCCESS:
                return response
            try:
                body = await response.body()
                answer = HttpAnswer(response.status, response.headers, body, response.secrets)
            finally:
                response.close()
            error = parse_error(adapter, answer)
            conceded = adapter.concedes(stream.plan, error)
            if not conceded or not resends.may_repeat(type(error).__name__):
                try:
                    raise error
                finally:
                    del error

    def _plan(self, exchange: Exchange, entity: ServedEntity, passage: Passage | None) -> Plan:
        query = exchange.query
        try:
            if passage is not None and query.native is not None:
                plan = passage.plan(query.native, stream=query.stream)
            else:
                plan = entity.adapter.plan(query, exchange.images or _NO_IMAGES)
        except AdapterError as error:
            error.answered = False
            raise
        if exchange.record.trace is not None:
            exchange.record.address = _address(plan)
        mark_hop(plan, exchange.hops, exchange.endpoint.id)
        return plan

    def _answer_limit(self, exchange: Exchange, others: int) -> float:
        remaining = exchange.expires - self.now()
        return min(self._own_limit(exchange), remaining / 2 if others else remaining)

    def _own_limit(self, exchange: Exchange) -> float:
        """Return the seconds until an answer must have begun, whoever asks."""
        return exchange.endpoint.policy.first_byte_seconds or self._timeouts.answer_seconds

    def _is_cut_short(self, exchange: Exchange) -> bool:
        """Tell whether the caller grants less than the deployment does until an answer begins."""
        deadline = exchange.call.deadline_seconds
        return deadline is not None and deadline < self._own_limit(exchange)


def _passage(exchange: Exchange, entity: ServedEntity) -> Passage | None:
    """Return how a request passes to an entity as it is; None: it does not."""
    native = exchange.query.native
    if native is None:
        return None
    passage = entity.adapter.passage(native.protocol)
    native.passing = passage is not None
    return passage


def _address(plan: Plan) -> str:
    """Return `host:port` of the provider; the rest of a URL may hold a credential."""
    url = urlsplit(plan.requests[0].url)
    return f"{url.hostname}:{url.port or (443 if url.scheme == 'https' else 80)}"


def _too_slow(seconds: float, *, by_caller: bool) -> DeadlineExceeded:
    message = f"The provider did not answer within {seconds:g} seconds."
    return DeadlineExceeded(message, by_caller=by_caller)
