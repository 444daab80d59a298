"""Carries the answer of a provider back to the caller, whole or as it comes.

Called by `attempts.py`; `upstream.py` calls the provider, `streaming.py` shapes. The caller
is answered only when the provider's answer, or its first chunk, is there, so that what fails
before is a refusal with its own status. What fails later ends the stream, as the reply can say it.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from urllib.parse import urlsplit

from modelplane.adapters.providers.base import StreamParser
from modelplane.adapters.providers.canonical.forms import (
    choose_parser,
    parse_answers,
    parse_error,
)
from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.providers.http.transport import HttpResponse
from modelplane.adapters.providers.types import (
    HttpAnswer,
    JsonObject,
    Plan,
    Query,
    parse_usage,
    tokens_of,
)
from modelplane.adapters.shared.rpc.metadata import ADAPTED_PARAMS, REQUEST_ID, Metadata
from modelplane.data_plane.accounting import Accountant
from modelplane.data_plane.calls.call import Call, Reply
from modelplane.data_plane.calls.characters import answer_characters
from modelplane.data_plane.calls.query import wants_usage
from modelplane.data_plane.calls.record import Record, attempt_headers
from modelplane.data_plane.calls.tasks import spec_of
from modelplane.data_plane.errors import DeadlineExceeded, refusal_of
from modelplane.data_plane.limits.admission import Admission
from modelplane.data_plane.snapshots.snapshot import Endpoint, ServedEntity
from modelplane.data_plane.upstreams.deadlines import Deadline, Deadlines
from modelplane.data_plane.upstreams.hops import mark_hop
from modelplane.data_plane.upstreams.streaming import ChunkShaper, encode_answer
from modelplane.data_plane.upstreams.truncation import last_chunk
from modelplane.data_plane.upstreams.upstream import SUCCESS, Resends, Upstream

# A provider ends its body right after its last event; waiting for that keeps the connection.
_SETTLE_SECONDS = 0.1
_MAX_CHOICES = 128


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds on a provider's answer.

    Attributes:
        answer_seconds: Until a whole answer, or the first chunk of a stream, is there.
        idle_seconds: Between two chunks of a stream.
    """

    answer_seconds: float
    idle_seconds: float


@dataclass(slots=True)
class Exchange:
    """What it takes to answer one call.

    Attributes:
        hops: Gateways that the call has passed; see `hops.py`.
        expires: When the answer must have begun, on the clock of the event loop; set by
            `attempts.py`.
    """

    call: Call
    reply: Reply
    record: Record
    endpoint: Endpoint
    query: Query
    admission: Admission
    hops: int = 0
    expires: float = inf

    def metadata(self, entity: ServedEntity, plan: Plan) -> Metadata:
        """Return the metadata of the answer that an entity gave to a plan."""
        request_id = (REQUEST_ID, self.call.request_id)
        own = (*entity.headers, request_id, *self.admission.headers)
        if self.record.attempts:
            own += attempt_headers(self.record, under_way=1)
        return (*own, (ADAPTED_PARAMS, ", ".join(plan.adapted))) if plan.adapted else own


class Relay:
    """Calls providers over one transport, in the event loop in which it was made."""

    def __init__(self, upstream: Upstream, accountant: Accountant, timeouts: Timeouts) -> None:
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
                plan = await self._plan(exchange, entity)
                answers = await self._upstream.send_all(entity.adapter, plan.requests, resends)
        except TimeoutError:
            raise _too_slow(limit, by_caller=self._is_cut_short(exchange)) from None
        try:
            answer = parse_answers(entity.adapter, exchange.query, answers, entity.provider)
        except AdapterError as error:
            exchange.record.usage = error.usage
            raise
        exchange.record.usage = parse_usage(answer)
        if exchange.record.trace is not None:
            exchange.record.model = _model(answer)
        if exchange.record.ticket:
            exchange.record.output_characters = answer_characters(answer)
        reply, name = exchange.reply, exchange.endpoint.name
        document = encode_answer(entity.provider, name, reply.encode, answer)
        await reply.answer(exchange.metadata(entity, plan), document)

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
        idle_seconds = exchange.endpoint.policy.idle_seconds or self._timeouts.idle_seconds
        stream = _Stream(exchange, entity, self._accountant, self.now, idle_seconds)
        limit = self._answer_limit(exchange, others)
        failure: AdapterError | DeadlineExceeded
        try:
            with self._deadlines.within(limit) as deadline:
                response = await self._open(exchange, entity, stream, resends)
                try:
                    await stream.run(response, deadline)
                    deadline.move(inf)
                    if not stream.is_cut:
                        await self._settle(response)
                finally:
                    stream.note_usage()
                    response.close()
        except AdapterError as error:
            failure = error
        except TimeoutError:
            if stream.started:
                failure = _too_slow(idle_seconds, by_caller=stream.is_cut_short)
            else:
                failure = _too_slow(limit, by_caller=self._is_cut_short(exchange))
        else:
            return None
        if not stream.started:
            raise failure
        await stream.fail(failure)
        return failure

    async def _open(
        self, exchange: Exchange, entity: ServedEntity, stream: "_Stream", resends: Resends
    ) -> HttpResponse:
        """Return the successful response to a stream's request."""
        adapter = entity.adapter
        while True:
            stream.plan = await self._plan(exchange, entity)
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
                raise error

    async def _settle(self, response: HttpResponse) -> None:
        """Read to the end of the body, if it is near, so that the connection can be used again."""
        try:
            with self._deadlines.within(_SETTLE_SECONDS):
                await response.read()
        except (TimeoutError, AdapterError):
            return

    async def _plan(self, exchange: Exchange, entity: ServedEntity) -> Plan:
        plan = await self._upstream.plan(entity, exchange.query)
        if exchange.record.trace is not None:
            exchange.record.address = _address(plan)
        mark_hop(plan, exchange.hops)
        return plan

    def _answer_limit(self, exchange: Exchange, others: int) -> float:
        own = exchange.endpoint.policy.first_byte_seconds or self._timeouts.answer_seconds
        remaining = exchange.expires - self.now()
        return min(own, remaining / 2 if others else remaining)

    def _is_cut_short(self, exchange: Exchange) -> bool:
        """Tell whether the caller grants less than the deployment does until an answer begins."""
        deadline = exchange.call.deadline_seconds
        own = exchange.endpoint.policy.first_byte_seconds or self._timeouts.answer_seconds
        return deadline is not None and deadline < own


class _Stream:
    """One stream on its way from the provider to the caller."""

    def __init__(
        self,
        exchange: Exchange,
        entity: ServedEntity,
        accountant: Accountant,
        now: Callable[[], float],
        idle_seconds: float,
    ) -> None:
        self.started = False
        self._begun = False
        # Whether the limits ended it, rather than the provider.
        self.is_cut = False
        self.plan = Plan(())
        self._exchange = exchange
        self._entity = entity
        self._accountant = accountant
        self._now = now
        self._idle_seconds = idle_seconds
        self._parser: StreamParser = entity.adapter.stream_parser(exchange.query)
        self._shaper = ChunkShaper(
            entity.task,
            keep_usage=wants_usage(exchange.query),
            count_characters=exchange.record.ticket is not None or exchange.admission.counts_output,
        )
        name, reply = exchange.endpoint.name, exchange.reply
        self._encode = partial(encode_answer, entity.provider, name, reply.encode)
        self._last: JsonObject = {}
        self._traced = exchange.record.trace is not None
        # When the caller will wait no longer, on the clock of the event loop.
        self._end_at = inf

    @property
    def is_cut_short(self) -> bool:
        """Whether the caller's own deadline has passed."""
        return self._now() >= self._end_at

    async def run(self, response: HttpResponse, deadline: Deadline) -> None:
        """Relay until the provider's stream has ended.

        Args:
            response: The provider's response.
            deadline: Bounds the time to the first chunk; moved on for every later one.

        Raises:
            AdapterError: The provider failed, or its stream broke off.
        """
        if self._exchange.call.deadline_seconds is not None:
            self._end_at = self._now() + self._exchange.call.deadline_seconds
        ended = False
        while not ended:
            data = await response.read()
            self._look(data)
            if self.started:
                # A caller who reads slowly holds up the reads, not the provider's idle time.
                deadline.move(self._end_at)
            chunks, error = self._shape(data)
            if error is not None:
                if chunks and self.started:
                    await self._send(chunks, ended=False)
                raise error.conceal(response.secrets)
            ended = self._cut(chunks, ended=self._parser.ended or not data)
            if chunks or ended:
                await self._send(chunks, ended=ended)
            if self.started:
                deadline.move(min(self._end_at, self._now() + self._idle_seconds))

    def note_usage(self) -> None:
        """Note what was used, as far as the provider has said, however the stream ended."""
        self._exchange.record.usage = self._shaper.usage or self._parser.usage
        self._exchange.record.output_characters = self._shaper.characters

    async def fail(self, error: Exception) -> None:
        """End a stream that began: say what happened where the caller will read it."""
        self._accountant.note_error(self._exchange.record, error)
        self._accountant.note_chunk(self._exchange.record)
        await self._exchange.reply.fail(refusal_of(error, self._exchange.call.request_id))

    def _look(self, data: bytes) -> None:
        """Look at how the body begins, which tells more of its form than its headers."""
        if not self._begun and (beginning := data.lstrip()[:1]):
            self._begun = True
            query, provider = self._exchange.query, self._entity.provider
            adapter = self._entity.adapter
            self._parser = choose_parser(adapter, query, self._parser, beginning, provider)

    def _shape(self, data: bytes) -> tuple[list[bytes], AdapterError | None]:
        """Return the chunks that `data` completes, and the error that followed them."""
        chunks: list[bytes] = []
        try:
            for chunk in self._parser.feed(data) if data else self._parser.finish():
                self._last = chunk
                if self._traced and not self.started:
                    self._exchange.record.model = _model(chunk)
                if self._shaper.shape(chunk):
                    chunks.append(self._encode(chunk))
        except AdapterError as error:
            return chunks, error
        return chunks, None

    def _cut(self, chunks: list[bytes], *, ended: bool) -> bool:
        """Add the chunk that ends the stream where it has to; return whether it has ended."""
        admission = self._exchange.admission
        if not ended and self._last and admission.counts_output:
            self.is_cut = not admission.allows(tokens_of(self._shaper.characters))
        if self.is_cut:
            choices = self._exchange.query.body.get("n")
            count = min(choices, _MAX_CHOICES) if isinstance(choices, int) else 1
            deltas = spec_of(self._entity.task).deltas
            chunks.append(self._encode(last_chunk(self._last, deltas=deltas, choices=range(count))))
        return ended or self.is_cut

    async def _send(self, chunks: Sequence[bytes], *, ended: bool) -> None:
        reply = self._exchange.reply
        if not self.started:
            self.started = True
            await reply.start(self._exchange.metadata(self._entity, self.plan))
        self._accountant.note_chunk(self._exchange.record)
        await reply.send(chunks, ended=ended)


def _address(plan: Plan) -> str:
    """Return `host:port` of the provider; the rest of a URL may hold a credential."""
    url = urlsplit(plan.requests[0].url)
    return f"{url.hostname}:{url.port or (443 if url.scheme == 'https' else 80)}"


def _model(answer: JsonObject) -> str:
    model = answer.get("model")
    return model if isinstance(model, str) else ""


def _too_slow(seconds: float, *, by_caller: bool) -> DeadlineExceeded:
    message = f"The provider did not answer within {seconds:g} seconds."
    return DeadlineExceeded(message, by_caller=by_caller)
