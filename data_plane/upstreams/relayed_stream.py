"""One stream on its way from the provider to the caller.

`relay.py` opens it, `streaming.py` shapes its chunks, `truncation.py` ends it where limits do.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from math import inf
from typing import Any, NamedTuple, TypeAlias

from modelplane.adapters.providers.base import StreamParser
from modelplane.adapters.providers.canonical.bounds import MAX_CHOICES
from modelplane.adapters.providers.canonical.forms import choose_parser
from modelplane.adapters.providers.errors import AdapterError, MalformedAnswer
from modelplane.adapters.providers.http.transport import MAX_BODY_BYTES, HttpResponse
from modelplane.adapters.providers.types import JsonObject, Plan, tokens_of
from modelplane.data_plane.accounting import Accountant
from modelplane.data_plane.calls.guarding import judge_stream
from modelplane.data_plane.calls.query import wants_usage
from modelplane.data_plane.calls.tasks import spec_of
from modelplane.data_plane.errors import refusal_of
from modelplane.data_plane.guardrails.stream import StreamGuard
from modelplane.data_plane.snapshots.snapshot import ServedEntity
from modelplane.data_plane.upstreams.deadlines import Deadline
from modelplane.data_plane.upstreams.exchange import Exchange, model_of
from modelplane.data_plane.upstreams.streaming import ChunkShaper, encode_answer
from modelplane.data_plane.upstreams.truncation import Cut, last_chunk

# Of what arrives at once, so much is looked at before other calls get their turn.
_PIECE_BYTES = 16 * 1024


class StreamSeconds(NamedTuple):
    """Bounds the time of a stream.

    Attributes:
        first: Until the first chunk.
        idle: Between two chunks.
        whole: From the provider's answer to the end.
    """

    first: float
    idle: float
    whole: float


# What a stream is made of, as `RelayedStream` takes it.
StreamParts: TypeAlias = tuple[
    Exchange, ServedEntity, Accountant, Callable[[], float], StreamSeconds
]


class RelayedStream:
    """One stream on its way from the provider to the caller."""

    def __init__(
        self,
        exchange: Exchange,
        entity: ServedEntity,
        accountant: Accountant,
        now: Callable[[], float],
        seconds: StreamSeconds,
    ) -> None:
        """Begin before the provider has answered.

        Args:
            exchange: The query and its caller.
            entity: Served entity that is asked.
            accountant: Told of each chunk.
            now: Clock of the event loop.
            seconds: Bounds its time.
        """
        self.started = False
        self._begun = False
        # Whether the limits ended it, rather than the provider.
        self.is_cut = False
        self.plan = Plan(())
        self._exchange = exchange
        self._entity = entity
        self._accountant = accountant
        self._now = now
        self.seconds = seconds
        self._parser: StreamParser = entity.adapter.stream_parser(exchange.query)
        self._shaper = ChunkShaper(
            entity.task,
            wanted=wants_usage(exchange.query),
            count_characters=exchange.record.ticket is not None or exchange.admission.counts_output,
        )
        guard = exchange.record.guard
        self._guard = guard.open_stream(entity.provider) if guard else None
        self._make = self._shaper.shape if self._guard is None else self._look_through
        name, reply = exchange.endpoint.name, exchange.reply
        self._encode = partial(encode_answer, entity.provider, name, reply.encode)
        self._last: JsonObject = {}
        # Bytes since the last chunk.
        self._silent = 0
        # Whether something has come that the guardrails hold back.
        self._heard = False
        self._traced = exchange.record.trace is not None
        # When it must have ended, and when the next chunk must be there, on the event loop's clock.
        self._end_at = self._speaks_by = inf
        # Comments that keep a stream alive do so no longer than a provider may think first.
        self._patience = max(seconds.idle, seconds.first)
        # Whether something may end the stream before the provider does.
        self._may_cut = self._guard is not None or exchange.admission.counts_output

    @property
    def is_too_long(self) -> bool:
        """Whether it has begun, and by now should have ended."""
        return self.started and self._now() >= self._end_at

    async def run(self, response: HttpResponse, deadline: Deadline) -> None:
        """Relay until the provider's stream has ended.

        Args:
            response: The provider's response.
            deadline: Bounds the time to the first chunk; moved on for every later one.

        Raises:
            AdapterError: The provider failed, or its stream broke off.
        """
        self._end_at = self._now() + self.seconds.whole
        ended = False
        rest = b""
        while not ended:
            data = rest or await response.read()
            rest = data[_PIECE_BYTES:]
            if rest:
                data = data[:_PIECE_BYTES]
                await asyncio.sleep(0)
            if self.started:
                # A caller who reads slowly holds up the reads, not the provider's idle time.
                deadline.move(self._end_at)
            chunks, error = self._shape(data)
            if error is not None:
                if chunks and self.started:
                    await self._send(chunks, ended=False)
                try:
                    raise error.conceal(response.secrets)
                finally:
                    del error
            ended = self._cut(chunks, ended=self._parser.ended or not data)
            if ended and self._guard is not None and self._guard.waits:
                chunks += await self._judge(self._guard, deadline)
            if chunks or ended:
                await self._send(chunks, ended=ended)
            heard, self._heard = self._heard, False
            self._bound(deadline, 0 if chunks or heard else len(data))

    async def _judge(self, guard: StreamGuard, deadline: Deadline) -> Sequence[bytes]:
        """Return what is left of a stream that has ended, now that judges have read all of it.

        Raises:
            GuardrailError: It must not pass.
        """
        # They have a deadline of their own.
        deadline.move(inf)
        await judge_stream(self._exchange.record, guard)
        if guard.blocked:
            return [self._block(guard)]
        return list(map(self._encode, guard.release()))

    def _bound(self, deadline: Deadline, silent: int) -> None:
        """Bound what comes next, in time and in bytes that say nothing.

        Args:
            deadline: The stream's; before the first chunk it stays as it is.
            silent: Bytes that have come and made no chunk; 0: they made one.

        Raises:
            MalformedAnswer: They are too many.
        """
        self._silent = self._silent + silent if silent else 0
        if self._silent > MAX_BODY_BYTES:
            raise MalformedAnswer(self._entity.provider, "the provider sends no answer")
        if self.started:
            now = self._now()
            if not silent:
                self._speaks_by = now + self._patience
            deadline.move(min(self._end_at, now + self.seconds.idle, self._speaks_by))

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
        if beginning := data.lstrip()[:1]:
            self._begun = True
            query, provider = self._exchange.query, self._entity.provider
            adapter = self._entity.adapter
            self._parser = choose_parser(adapter, query, self._parser, beginning, provider)

    def _shape(self, data: bytes) -> tuple[list[bytes], AdapterError | None]:
        """Return the chunks that `data` completes, and the error that followed them."""
        chunks: list[bytes] = []
        if not self._begun:
            self._look(data)
        try:
            for chunk in self._parser.feed(data) if data else self._parser.finish():
                self._last = chunk
                if self._traced and not self.started:
                    self._exchange.record.model = model_of(chunk)
                chunks += map(self._encode, self._make(chunk))
        except AdapterError as error:
            # What a guard holds stays there: nobody knows what it would have become.
            chunks += map(self._encode, self._finish(failed=True))
            return chunks, error
        return chunks, None

    def _look_through(self, chunk: JsonObject) -> Sequence[JsonObject]:
        """Return what the caller gets of a chunk where the endpoint has guardrails."""
        guard = self._guard
        if guard is None:
            return self._shaper.shape(chunk)
        self._heard = True
        return [told for shaped in self._shaper.shape(chunk) for told in guard.feed(shaped)]

    def _finish(self, *, failed: bool = False) -> Sequence[JsonObject]:
        """Return what is left for the caller; `failed`: the stream broke off."""
        left = self._shaper.finish()
        guard = self._guard
        if guard is None:
            return left
        told = [part for chunk in left for part in guard.feed(chunk)]
        return told if failed else [*told, *guard.finish()]

    def _cut(self, chunks: list[bytes], *, ended: bool) -> bool:
        """Add the chunk that ends the stream where it has to; return whether it has ended."""
        if not (ended or self._may_cut):
            return False
        admission = self._exchange.admission
        if not ended and self._last and admission.counts_output:
            self.is_cut = not admission.allows(tokens_of(self._shaper.characters))
        if ended or self.is_cut:
            chunks += map(self._encode, self._finish())
        if self._guard is not None and self._guard.blocked:
            self.is_cut = True
            chunks[:] = [self._block(self._guard)]
        elif self.is_cut:
            choices = self._exchange.query.body.get("n")
            count = min(choices, MAX_CHOICES) if isinstance(choices, int) else 1
            deltas = spec_of(self._entity.task).deltas
            last = last_chunk(self._last, deltas=deltas, choices=range(count))
            left = (last,) if self._guard is None else self._guard.keep((last,))
            chunks += map(self._encode, left)
        return ended or self.is_cut

    def _block(self, guard: StreamGuard) -> bytes:
        """Return the chunk that ends a stream in which something was found that must not pass.

        Raises:
            GuardrailTriggered: The caller has nothing of it yet.
        """
        usage = self._shaper.usage or self._parser.usage
        if not self.started:
            raise guard.side.refuse(usage)
        error = guard.side.refuse(usage)
        self._accountant.note_error(self._exchange.record, error)
        deltas = spec_of(self._entity.task).deltas
        cut = Cut("content_filter", guard.side.items())
        choices = guard.open_choices or (0,)
        return self._encode(last_chunk(self._last, deltas=deltas, choices=choices, cut=cut))

    def _send(self, chunks: Sequence[bytes], *, ended: bool) -> Coroutine[Any, Any, None]:
        # No coroutine of its own: each chunk comes here.
        if not self.started:
            return self._send_first(chunks, ended=ended)
        self._accountant.note_chunk(self._exchange.record)
        return self._exchange.reply.send(chunks, ended=ended)

    async def _send_first(self, chunks: Sequence[bytes], *, ended: bool) -> None:
        self.started = True
        reply = self._exchange.reply
        await reply.start(self._exchange.metadata(self._entity, self.plan))
        self._accountant.note_chunk(self._exchange.record)
        await reply.send(chunks, ended=ended)
