"""The stream of a hosted model on its way to the caller, event by event, as it is.

`hosted_relay.py` opens it.
"""

from collections.abc import Callable

from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.providers.http.sse import SseParser
from modelplane.adapters.providers.http.transport import HttpResponse
from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.shared.rpc.metadata import Metadata
from modelplane.data_plane.accounting import Accountant
from modelplane.data_plane.calls.guarding import judge_stream
from modelplane.data_plane.calls.tasks import spec_of
from modelplane.data_plane.errors import (
    DeadlineExceeded,
    ModelRefused,
    ReplicaLost,
    refusal_of,
)
from modelplane.data_plane.guardrails.stream import StreamGuard
from modelplane.data_plane.snapshots.snapshot import ServedEntity
from modelplane.data_plane.upstreams.deadlines import Deadline
from modelplane.data_plane.upstreams.exchange import Exchange
from modelplane.data_plane.upstreams.model_server import (
    TIMED_OUT,
    counts_characters,
    error_in,
    note_usage,
    parse_json,
    tells_usage,
)
from modelplane.data_plane.upstreams.truncation import Cut, last_chunk

_DONE = b"[DONE]"


class HostedStream:
    """One stream of a hosted model.

    Attributes:
        started: Whether the caller has been answered.
    """

    def __init__(
        self,
        exchange: Exchange,
        entity: ServedEntity,
        metadata: Metadata,
        accountant: Accountant,
        now: Callable[[], float],
    ) -> None:
        self.started = False
        self._exchange = exchange
        self._entity = entity
        guard = exchange.record.guard
        self._guard = guard.open_stream(entity.name) if guard else None
        self._metadata = metadata
        # The last event that tells the usage so far, where nobody wants to know it before the end.
        self._told = b""
        self._counts = counts_characters(exchange.record, entity.task)
        self._accountant = accountant
        self._now = now

    async def run(self, response: HttpResponse, deadline: Deadline, idle_seconds: float) -> bool:
        """Relay until the model's stream has ended; what breaks it off is told in it.

        Args:
            response: The server's response.
            deadline: Bounds the time to the first event; moved on for every later one.
            idle_seconds: Longest pause between two.

        Returns:
            Whether it has come to its end.

        Raises:
            HostedError: There was no event before it broke off.
            TimeoutError: The deadline has passed.
        """
        try:
            await self._relay(response, deadline, idle_seconds)
        except (ReplicaLost, ModelRefused) as error:
            if not self.started:
                raise
            await self.fail(error)
            return False
        finally:
            if self._told:
                note_usage(self._exchange.record, self._entity.task, self._told)
        return True

    async def fail(self, error: Exception) -> None:
        """End a stream that has begun: say why it broke off."""
        self._accountant.note_error(self._exchange.record, error)
        self._accountant.note_chunk(self._exchange.record)
        await self._exchange.reply.fail(refusal_of(error, self._exchange.call.request_id))

    def too_slow(self) -> DeadlineExceeded:
        """Return the error that a deadline which has passed is."""
        by_caller = self._exchange.call.deadline_seconds is not None
        by_caller = by_caller and self._now() >= self._exchange.expires
        return DeadlineExceeded(TIMED_OUT, by_caller=by_caller)

    async def _relay(self, response: HttpResponse, deadline: Deadline, idle_seconds: float) -> None:
        parser = SseParser()
        ended = False
        while not ended:
            try:
                data = await response.read()
                events = list(parser.feed(data) if data else parser.finish())
            except AdapterError as error:
                raise ReplicaLost(self._entity.name) from error
            except ValueError:
                raise ModelRefused("An event of the model's stream is too large.") from None
            ended = _DONE in events
            if ended:
                del events[events.index(_DONE) :]
            # While the caller reads slowly, the model is not held to its idle time.
            deadline.move(self._exchange.expires)
            chunks, failure = self._shape(events, ended=ended)
            ended = ended or self._is_blocked
            is_last = ended and failure is None
            chunks += await self._judge(ended=is_last)
            if chunks or is_last:
                await self._send(chunks, ended=is_last)
            if failure is not None:
                try:
                    raise failure
                finally:
                    del failure
            if not data and not ended:
                raise ReplicaLost(self._entity.name)
            deadline.move(min(self._exchange.expires, self._now() + idle_seconds))

    async def _judge(self, *, ended: bool) -> list[bytes]:
        """Return what is left of a stream that judges read, when it has ended.

        Raises:
            GuardrailError: It must not pass.
        """
        guard = self._guard
        if not ended or guard is None or not guard.waits:
            return []
        await judge_stream(self._exchange.record, guard)
        return self._encode([self._block(guard)] if guard.blocked else list(guard.release()))

    @property
    def _is_blocked(self) -> bool:
        return self._guard is not None and self._guard.blocked

    def _shape(
        self, events: list[bytes], *, ended: bool
    ) -> tuple[list[bytes], ModelRefused | None]:
        """Return the chunks that events are, and the error that has followed them.

        Args:
            events: The events.
            ended: Whether they are the last ones.
        """
        if self._guard is not None:
            return self._look_through(self._guard, events, ended=ended)
        chunks: list[bytes] = []
        for event in events:
            if error := error_in(event):
                return chunks, error
            if self._counts:
                note_usage(self._exchange.record, self._entity.task, event)
            elif tells_usage(event):
                self._told = event
            # JSON has line breaks between its parts only, where a space does as well.
            line = event.replace(b"\n", b" ") if b"\n" in event else event
            try:
                chunks.append(self._exchange.reply.pass_on(line))
            except (TypeError, ValueError):
                return chunks, ModelRefused("The model's stream is not what the call's task has.")
        return chunks, None

    def _look_through(
        self, guard: StreamGuard, events: list[bytes], *, ended: bool
    ) -> tuple[list[bytes], ModelRefused | None]:
        """Return the same as `_shape`, where the endpoint has guardrails.

        Raises:
            GuardrailTriggered: What must not pass was found, and the caller has nothing yet.
        """
        chunks: list[JsonObject] = []
        for event in events:
            if error := error_in(event):
                return self._encode(chunks), error
            note_usage(self._exchange.record, self._entity.task, event)
            value = parse_json(event)
            if not isinstance(value, dict):
                return self._encode(chunks), ModelRefused("The model streams no objects.")
            chunks += guard.feed(value)
        if ended:
            chunks += guard.finish()
        if guard.blocked:
            chunks = [self._block(guard)]
        return self._encode(chunks), None

    def _encode(self, chunks: list[JsonObject]) -> list[bytes]:
        return [self._exchange.reply.encode(chunk) for chunk in chunks]

    def _block(self, guard: StreamGuard) -> JsonObject:
        """Return the chunk that ends a stream in which something was found that must not pass."""
        usage = self._exchange.record.usage
        if not self.started:
            raise guard.side.refuse(usage)
        error = guard.side.refuse(usage)
        self._accountant.note_error(self._exchange.record, error)
        cut = Cut("content_filter", guard.side.items())
        choices = guard.open_choices or (0,)
        deltas = spec_of(self._entity.task).deltas or "agent" in self._entity.task
        return last_chunk({}, deltas=deltas, choices=choices, cut=cut)

    async def _send(self, chunks: list[bytes], *, ended: bool) -> None:
        if not self.started:
            self.started = True
            await self._exchange.reply.start(self._metadata)
        self._accountant.note_chunk(self._exchange.record)
        await self._exchange.reply.send(chunks, ended=ended)
