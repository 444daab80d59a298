"""Carries queries of the REST API to the service as they are, without a gRPC call between.

Envoy hands over the requests that all clients send most (`deploy/envoy/routes.py`): to wrap JSON in
a message, and it again in the framing of gRPC, cost a third of what Envoy spends on a query. Every
other request of the REST API is transcoded; a caller cannot tell the difference.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

import orjson

from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.shared.rpc.metadata import (
    ERROR_CODE,
    HTTP_STATUS,
    RETRY_AFTER,
    Metadata,
    request_id_of,
)
from modelplane.adapters.shared.rpc.sizes import BODY_TOO_LARGE, MAX_BODY_BYTES
from modelplane.adapters.shared.rpc.status import shorten
from modelplane.adapters.shared.tasks import PATHS
from modelplane.data_plane.calls.call import Call, Method, NativeReply, Service
from modelplane.data_plane.calls.refusals import settle
from modelplane.data_plane.errors import MalformedRequest, Refusal
from modelplane.data_plane.hosts.carrying import JSON, Outcome, as_it_is, carry, refusal_trailers
from modelplane.data_plane.hosts.events import EVENT_STREAM, encode_error, encode_events
from modelplane.data_plane.hosts.http1.connection import Connection
from modelplane.data_plane.hosts.http1.head import encode_fields
from modelplane.data_plane.hosts.http1.incoming import BodyTooLong
from modelplane.data_plane.protocols.routes import OPENAI_WAYS

# What the paths of its requests begin with, and how those end that name an endpoint.
PREFIX = b"/serving-endpoints/"
_INVOCATIONS = b"/invocations"
# The mirrored product answers there what it refuses elsewhere, where guardrails block it.
_NEWER = b"/ai-gateway/"
# The other ones name a task.
_TASKS: Mapping[bytes, str] = {
    f"{prefix}{path}".encode(): task
    for task, path in (
        (task, path.removeprefix("/serving-endpoints")) for task, path in PATHS.items()
    )
    for prefix in ("/serving-endpoints", *(f"/ai-gateway/{way}/v1" for way in OPENAI_WAYS))
}
_JSON = ("content-type", JSON)
_EVENT_STREAM = ("content-type", EVENT_STREAM)
_OK = 200
_UNAVAILABLE = 503
_RETRY_SOON = (RETRY_AFTER, "1")
# It takes a member `error` for the message, as it was in an API before; in Go it must be a text.
_DATABRICKS_SDK = "databricks-sdk-"
# For Envoy's filters, which these answers do not pass.
_INTERNAL = (ERROR_CODE, HTTP_STATUS)


class SpokenReply(NativeReply, Outcome, Protocol):
    """Answers a native request to its end."""


# Returns what answers a query of the Responses API to the endpoint of a name.
Speak: TypeAlias = Callable[[Connection, str], SpokenReply]


class RestReply:
    """Answers a request of the REST API; see `call.Reply` and `carrying.Outcome`."""

    # Without a frame of its own: each chunk comes here.
    encode = staticmethod(orjson.dumps)
    pass_on = staticmethod(as_it_is)

    __slots__ = ("_connection", "_ended", "_started", "content_type", "request_id")

    def __init__(self, connection: Connection) -> None:
        self.request_id = request_id_of(connection.headers)
        self._connection = connection
        self._started = self._ended = False
        # Of a stream.
        self.content_type = _EVENT_STREAM

    async def answer(self, metadata: Metadata, document: bytes) -> None:
        """Send the headers and the whole body."""
        self._ended = True
        self._connection.respond(_OK, encode_fields((_JSON, *metadata)), document)

    async def start(self, metadata: Metadata) -> None:
        """Send the headers."""
        self._started = True
        self._connection.begin(encode_fields((self.content_type, *metadata)))

    def send(self, chunks: Sequence[bytes], *, ended: bool) -> Coroutine[Any, Any, None]:
        """Send chunks as events."""
        return self._connection.write(encode_events(chunks, ended=ended))

    async def fail(self, refusal: Refusal) -> None:
        """Send the event that ends a stream which broke off."""
        await self._connection.write(self._break_off(refusal))

    def refuse(self, error: Exception) -> None:
        """Say why there is no answer, or no more of it."""
        self._ended = True
        refusal = settle(error, self.request_id)
        if self._started:
            self._connection.end(self._break_off(refusal))
            return
        trailers = refusal_trailers(refusal, self.request_id)
        metadata = [_JSON, *(pair for pair in trailers if pair[0] not in _INTERNAL)]
        status = refusal.status.http
        if status == _UNAVAILABLE and refusal.retry_after is None:
            metadata.append(_RETRY_SOON)
        text: JsonObject = {
            **self._explain(refusal),
            "error_code": refusal.status.error_code,
            "message": shorten(refusal.message),
        }
        fields = encode_fields(self._complete(tuple(metadata)))
        self._connection.respond(status, fields, orjson.dumps(text))

    def end(self) -> None:
        """End the answer, unless it has ended."""
        if not self._ended:
            self._connection.end()

    def _break_off(self, refusal: Refusal) -> bytes:
        """Return the events that end a stream which broke off."""
        return encode_error(refusal)

    def _complete(self, metadata: Metadata) -> Metadata:
        """Return the headers of a refusal, and what clients look for beside them."""
        return metadata

    def _explain(self, refusal: Refusal) -> JsonObject:
        """Return what a refusal says beside the members that all of this API's have."""
        if self._connection.headers.get("user-agent", "").startswith(_DATABRICKS_SDK):
            return {}
        return {"error": refusal.error()}


class InvocationReply(RestReply):
    """Answers a query that its path sends to an endpoint; see `call.Speaker`."""

    __slots__ = ("_speak", "_spoken")

    def __init__(self, connection: Connection, speak: Speak) -> None:
        super().__init__(connection)
        self._speak = speak
        self._spoken: SpokenReply | None = None

    def speak_responses(self, endpoint: str) -> NativeReply:
        """Return what takes the answer from now on."""
        self._spoken = self._speak(self._connection, endpoint)
        return self._spoken

    def refuse(self, error: Exception) -> None:
        """Say why there is no answer, or no more of it."""
        if self._spoken is None:
            super().refuse(error)
        else:
            self._spoken.refuse(error)

    def end(self) -> None:
        """End the answer, unless it has ended."""
        if self._spoken is None:
            super().end()
        else:
            self._spoken.end()


class RestCalls:
    """Carries requests of the REST API to a service."""

    def __init__(self, service: Service, speak: Speak) -> None:
        """Carry to `service`; `speak` returns what answers in the Responses API's form."""
        self._service = service
        self._speak = speak

    def find(self, path: bytes) -> tuple[str, str] | None:
        """Return the task and the endpoint that a path names, one of them; None: no such path."""
        if path.endswith(_INVOCATIONS) and path.startswith(PREFIX):
            name = path[len(PREFIX) : -len(_INVOCATIONS)]
            return ("", name.decode("latin-1")) if name and b"/" not in name else None
        task = _TASKS.get(path)
        return None if task is None else (task, "")

    def carry(self, connection: Connection, task: str, name: str) -> Coroutine[Any, Any, None]:
        """Return what carries one request; see `carrying.carry`.

        Args:
            connection: Has the request, and takes the answer.
            task: Task that the path names.
            name: Endpoint that it names.
        """
        reply = InvocationReply(connection, self._speak) if name else RestReply(connection)
        return carry(partial(self._answer, connection, reply, task, name), reply)

    def _answer(
        self, connection: Connection, reply: RestReply, task: str, name: str
    ) -> Awaitable[None]:
        body = connection.take_whole(MAX_BODY_BYTES)
        rest = None if body is not None else partial(receive, connection)
        metadata, request_id = connection.headers, reply.request_id
        # By position: by name would take twice as long.
        call = Call(Method.QUERY, metadata, request_id, task, name, body or b"", rest)
        call.answers_blocks = connection.target.startswith(_NEWER)
        if isinstance(reply, InvocationReply):
            call.speaker = reply
        return self._service.answer(call, reply)


async def receive(connection: Connection, call: Call) -> None:
    """Wait for the whole body of a call.

    Raises:
        MalformedRequest: It is too long.
    """
    try:
        call.body = await connection.read_whole(MAX_BODY_BYTES, call.arriving)
    except BodyTooLong:
        raise MalformedRequest(BODY_TOO_LARGE) from None
