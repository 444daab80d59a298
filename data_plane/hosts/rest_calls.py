"""Carries queries of the REST API to the service as they are, without a gRPC call between.

Envoy hands over the requests that all clients send most (`deploy/envoy/routes.py`): to wrap JSON in
a message, and it again in the framing of gRPC, cost a third of what Envoy spends on a query. Every
other request of the REST API is transcoded; a caller cannot tell the difference.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any

import orjson

from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.shared.rpc.bodies import MAX_REQUEST_BYTES, TOO_LARGE
from modelplane.adapters.shared.rpc.metadata import ERROR_CODE, HTTP_STATUS, RETRY_AFTER, Metadata
from modelplane.adapters.shared.rpc.status import shorten
from modelplane.data_plane.errors import MalformedRequest, Refusal
from modelplane.data_plane.hosts.host import (
    Call,
    Method,
    Service,
    refusal_trailers,
    refuse,
    request_id_of,
)
from modelplane.data_plane.hosts.http1.connection import Connection
from modelplane.data_plane.hosts.http1.head import encode_fields
from modelplane.data_plane.hosts.http1.incoming import BodyTooLong
from modelplane.data_plane.upstreams.streaming import encode_error_line

# What the paths of its requests begin with, and how those end that name an endpoint.
PREFIX = b"/serving-endpoints/"
_INVOCATIONS = b"/invocations"
_METHODS: Mapping[bytes, Method] = {
    PREFIX + b"chat/completions": Method.CREATE_CHAT_COMPLETION,
    PREFIX + b"completions": Method.CREATE_COMPLETION,
    PREFIX + b"embeddings": Method.CREATE_EMBEDDING,
}
_CONTENT_TYPE = "content-type"
_JSON = (_CONTENT_TYPE, "application/json")
_OK = 200
_UNAVAILABLE = 503
_RETRY_SOON = (RETRY_AFTER, "1")
# For Envoy's filters, which these answers do not pass.
_INTERNAL = (ERROR_CODE, HTTP_STATUS)


class RestReply:
    """Answers a request of the REST API; see `host.Reply`."""

    __slots__ = ("_connection", "_ended", "_request_id", "_started")

    def __init__(self, connection: Connection, request_id: str) -> None:
        self._connection = connection
        self._request_id = request_id
        self._started = self._ended = False

    async def start(self, content_type: str, metadata: Metadata) -> None:
        """Send the headers."""
        self._started = True
        self._connection.begin(encode_fields(((_CONTENT_TYPE, content_type), *metadata)))

    def encode(self, document: JsonObject) -> bytes:
        """Return the document as JSON."""
        return orjson.dumps(document)

    def send(self, data: bytes) -> Coroutine[Any, Any, None]:
        """Send a part of the body."""
        return self._connection.write(data)

    async def answer(self, content_type: str, metadata: Metadata, data: bytes) -> None:
        """Send the headers and the whole body."""
        self._ended = True
        fields = encode_fields(((_CONTENT_TYPE, content_type), *metadata))
        self._connection.respond(_OK, fields, data)

    async def fail(self, refusal: Refusal) -> None:
        """Send the line that ends a stream which broke off."""
        await self.send(_error_line(refusal))

    def refuse(self, refusal: Refusal) -> None:
        """Say why there is no answer, or no more of it."""
        self._ended = True
        if self._started:
            self._connection.end(_error_line(refusal))
            return
        trailers = refusal_trailers(refusal, self._request_id)
        metadata = [_JSON, *(pair for pair in trailers if pair[0] not in _INTERNAL)]
        status = refusal.status.http
        if status == _UNAVAILABLE and refusal.retry_after is None:
            metadata.append(_RETRY_SOON)
        text = {"error_code": refusal.status.error_code, "message": shorten(refusal.message)}
        self._connection.respond(status, encode_fields(metadata), orjson.dumps(text))

    def end(self) -> None:
        """End the answer, unless it has ended."""
        if not self._ended:
            self._connection.end()


class RestCalls:
    """Carries requests of the REST API to a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def find(self, path: bytes) -> tuple[Method, str] | None:
        """Return the method that a path stands for and the endpoint that it names, if any does."""
        if path.endswith(_INVOCATIONS):
            name = path[len(PREFIX) : -len(_INVOCATIONS)]
            return (Method.QUERY, name.decode("latin-1")) if name and b"/" not in name else None
        method = _METHODS.get(path)
        return None if method is None else (method, "")

    async def carry(self, connection: Connection, method: Method, name: str) -> None:
        """Carry one request; it is answered whatever happens, unless its caller is gone.

        Args:
            connection: Has the request, and takes the answer.
            method: What is asked for.
            name: Endpoint named in the path.
        """
        metadata = connection.headers
        request_id = request_id_of(metadata)
        reply = RestReply(connection, request_id)
        body = connection.take_whole(MAX_REQUEST_BYTES)
        receive = None if body is not None else partial(_receive, connection)
        try:
            call = Call(method, name, "", body or b"", metadata, request_id, None, receive)
            await self._service.answer(call, reply)
        except asyncio.CancelledError:
            # Of a caller who left; at a stop the connection is cut.
            return
        except Exception as error:  # noqa: BLE001 - a bug must reach the caller as one, too
            reply.refuse(refuse(error, request_id))
        else:
            reply.end()


async def _receive(connection: Connection, call: Call) -> None:
    try:
        call.body = await connection.read_whole(MAX_REQUEST_BYTES)
    except BodyTooLong:
        raise MalformedRequest(TOO_LARGE) from None


def _error_line(refusal: Refusal) -> bytes:
    return encode_error_line(refusal.status.error_code, refusal.message)
