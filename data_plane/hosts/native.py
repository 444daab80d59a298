"""Carries queries of native protocols (`../protocols/`) to the service, as `rest.py` does its own.

A codec reads the request once it is there, and writes the answer; all between, from the check of
the caller to the usage, is the same as for any query.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from modelplane.adapters.providers.canonical.json_values import as_objects
from modelplane.adapters.providers.types import JsonObject, NativeRequest
from modelplane.adapters.shared.rpc.authorization import API_KEY_HEADERS
from modelplane.adapters.shared.rpc.metadata import ADAPTED_PARAMS, AUTHORIZATION, Metadata
from modelplane.adapters.shared.rpc.sizes import MAX_BODY_BYTES
from modelplane.data_plane.calls.call import Call, Method, Service
from modelplane.data_plane.errors import Refusal
from modelplane.data_plane.hosts.carrying import carry
from modelplane.data_plane.hosts.http1.connection import Connection
from modelplane.data_plane.hosts.rest import RestReply, receive
from modelplane.data_plane.protocols.base import AnswerWriter, Framing
from modelplane.data_plane.protocols.routes import NativeRoute, responses_route


class NativeReply(RestReply):
    """Answers a request of a native protocol, and knows what that is: a `NativeCall`."""

    __slots__ = ("_adapted", "_framing", "_native", "_route", "_wall_ms", "_writer", "encode")

    # Set for each call: how its answer, or each chunk of it, is written.
    encode: Callable[[JsonObject], bytes]  # type: ignore[assignment]

    def __init__(
        self, connection: Connection, route: NativeRoute, wall_ms: Callable[[], float]
    ) -> None:
        super().__init__(connection)
        self._route = route
        self._wall_ms = wall_ms
        self._writer: AnswerWriter | None = None
        self._adapted: tuple[str, ...] = ()
        self._native: NativeRequest | None = None
        self._framing: Framing | None = None
        # A reply that refers to itself is kept, with its request, until garbage is collected.
        self.encode = orjson.dumps if route.method is Method.QUERY else self._tell

    @property
    def protocol(self) -> str:
        """Name of the request's protocol; this and what follows is as of `NativeCall`."""
        return self._route.protocol.name

    def complete(self, body: JsonObject) -> JsonObject:
        """Return a body with what the path says in its place."""
        fields = self._route.fields
        return body | fields if fields else body

    def translate(self, body: JsonObject) -> JsonObject:
        """Return the canonical body, and get ready to write the answer."""
        query = self._route.protocol.read(body)
        if self._route.method is Method.QUERY:
            self._writer, self._adapted = query.writer, query.adapted
            streams = query.body.get("stream") is True
            self.encode = query.writer.chunk if streams else query.writer.whole
        return query.body

    def streams(self, body: JsonObject) -> bool:
        """Tell whether a completed body asks for a stream."""
        return self._route.protocol.streams(body)

    def whole(self, answer: JsonObject) -> bytes:
        """Return what a translated stream would have been as one answer."""
        return self._writer.whole(answer) if self._writer else orjson.dumps(answer)

    def request(self, body: JsonObject, raw: bytes) -> NativeRequest:
        """Return what is passed on."""
        self._native = NativeRequest(self._route.protocol.name, body, raw, self._connection.headers)
        return self._native

    def lose(self, lost: Sequence[str]) -> None:
        """Note what else of a translated body is left out."""
        self._adapted = (*self._adapted, *lost)

    def pass_on(self, document: bytes) -> bytes:
        """Return a canonical answer, or a chunk, that is JSON by now."""
        value = orjson.loads(document)
        return self.encode(value if isinstance(value, dict) else {})

    async def answer(self, metadata: Metadata, document: bytes) -> None:
        """Send the headers and the whole body."""
        await super().answer(self._complete(metadata), document)

    async def start(self, metadata: Metadata) -> None:
        """Send the headers."""
        framing = self._framing = self._route.protocol.framing()
        if framing is not None:
            self.content_type = ("content-type", framing.content_type)
        await super().start(self._complete(metadata))

    async def _send(self, chunks: Sequence[bytes], *, ended: bool) -> None:
        # A chunk may have made no event.
        events = b"".join(chunks)
        if ended and self._writer is not None and not self._passes:
            events += self._writer.finish()
        events = self._frame(events, ended=ended)
        if events:
            await self._connection.write(events)

    def send(self, chunks: Sequence[bytes], *, ended: bool) -> Coroutine[Any, Any, None]:
        """Send chunks, which are events by now."""
        return self._send(chunks, ended=ended)

    def _tell(self, document: JsonObject) -> bytes:
        """Return what is no answer of a model, once."""
        self.encode = orjson.dumps
        protocol = self._route.protocol
        if self._route.method is Method.COUNT_TOKENS:
            return orjson.dumps(protocol.count(document))
        if self._route.method is Method.GET_MODEL:
            return orjson.dumps(protocol.model(document))
        models = as_objects(document.get("data"))
        return orjson.dumps(protocol.models(models, self._route.parameters))

    def _complete(self, metadata: Metadata) -> Metadata:
        """Add what the protocol's clients look for, and what was lost on the way."""
        if self._adapted and not self._passes:
            headers = dict(metadata)
            adapted = (*self._adapted, *filter(None, (headers.get(ADAPTED_PARAMS),)))
            metadata = tuple((headers | {ADAPTED_PARAMS: ", ".join(adapted)}).items())
        own = self._route.protocol.headers(self.request_id, metadata, self._wall_ms)
        return (*metadata, *own) if own else metadata

    def _frame(self, events: bytes, *, ended: bool) -> bytes:
        framing = self._framing
        if framing is None:
            return events
        return framing.add(events) + (framing.finish() if ended else b"")

    def _break_off(self, refusal: Refusal) -> bytes:
        fails = self._route.protocol if self._writer is None or self._passes else self._writer
        return self._frame(fails.fail(refusal), ended=True)

    @property
    def _passes(self) -> bool:
        """Whether the provider's own bytes are the answer."""
        return self._native is not None and self._native.passing

    def _explain(self, refusal: Refusal) -> JsonObject:
        return self._route.protocol.error(refusal, self.request_id)


class NativeCalls:
    """Carries requests of native protocols to a service."""

    def __init__(self, service: Service, wall_ms: Callable[[], float]) -> None:
        """Carry to `service`; `wall_ms` is wall time, milliseconds since the epoch."""
        self._service = service
        self._wall_ms = wall_ms

    def speak_responses(self, connection: Connection, endpoint: str) -> NativeReply:
        """Return what answers a query of the Responses API; see `rest.Speak`."""
        return NativeReply(connection, responses_route(endpoint), self._wall_ms)

    def carry(self, connection: Connection, route: NativeRoute) -> Coroutine[Any, Any, None]:
        """Return what carries one request; see `carrying.carry`."""
        reply = NativeReply(connection, route, self._wall_ms)
        return carry(partial(self._answer, connection, reply, route), reply)

    def _answer(
        self, connection: Connection, reply: NativeReply, route: NativeRoute
    ) -> Awaitable[None]:
        body = connection.take_whole(MAX_BODY_BYTES)
        rest = None if body is not None else partial(receive, connection)
        metadata, request_id = with_token(connection.headers), reply.request_id
        # By position: by name would take twice as long.
        call = Call(route.method, metadata, request_id, route.task, route.name, body or b"", rest)
        call.native, call.answers_blocks = reply, True
        return self._service.answer(call, reply)


def with_token(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return headers in which a token that came as a provider's key is where a token belongs.

    Clients of other APIs send what they call a key in a header of its own. It is one of this
    deployment's tokens here, or refused as any other that is unknown.
    """
    if AUTHORIZATION in headers:
        return headers
    for name in API_KEY_HEADERS:
        if key := headers.get(name):
            return {**headers, AUTHORIZATION: f"Bearer {key}"}
    return headers
