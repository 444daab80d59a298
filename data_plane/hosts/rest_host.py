"""Answers the queries of the REST API over ASGI, without a gRPC call between.

Envoy hands the requests that all clients send most to the worker as they are (`deploy/envoy`,
`routes.py`): to wrap JSON in a message, and it again in the framing of gRPC, cost a third of what
Envoy spends on a query. Every other request of the REST API is transcoded, and so are these where
the worker is not inside Envoy. A caller cannot tell the difference.
"""

import asyncio
import contextlib
from collections.abc import Mapping

import orjson

from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.rpc.metadata import ERROR_CODE, HTTP_STATUS, RETRY_AFTER, Metadata
from modelplane.adapters.rpc.status import shorten
from modelplane.data_plane.errors import MalformedRequest, Refusal
from modelplane.data_plane.hosts.asgi_sender import Event, Headers, Receive, Send, Sender
from modelplane.data_plane.hosts.asgi_service import (
    AsgiService,
    CallerGone,
    HeaderMetadata,
    encode_headers,
    receive_part,
)
from modelplane.data_plane.hosts.host import Call, Method, refusal_trailers, refuse, request_id_of
from modelplane.data_plane.upstreams.streaming import encode_error_line

# What the paths of its requests begin with.
PREFIX = "/serving-endpoints/"
_METHODS: Mapping[str, Method] = {
    "chat/completions": Method.CREATE_CHAT_COMPLETION,
    "completions": Method.CREATE_COMPLETION,
    "embeddings": Method.CREATE_EMBEDDING,
}
_JSON = (b"content-type", b"application/json")
# As the transcoder takes (`deploy/envoy/filters.py`).
_MAX_BODY_BYTES = 16 * 1024 * 1024
_UNAVAILABLE = 503
_RETRY_SOON = (RETRY_AFTER, "1")
# For Envoy's filters, which these answers do not pass.
_INTERNAL = (ERROR_CODE, HTTP_STATUS)


class RestReply:
    """Answers a request of the REST API; see `host.Reply`."""

    __slots__ = ("_ended", "_request_id", "_sender", "_started")

    def __init__(self, sender: Sender, request_id: str) -> None:
        self._sender = sender
        self._request_id = request_id
        self._started = self._ended = False

    async def start(self, content_type: str, metadata: Metadata) -> None:
        """Send the headers."""
        self._started = True
        headers = [(b"content-type", content_type.encode()), *encode_headers(metadata)]
        await self._sender.start(headers, trailers=False)

    def encode(self, document: JsonObject) -> bytes:
        """Return the document as JSON."""
        return orjson.dumps(document)

    async def send(self, data: bytes) -> None:
        """Send a part of the body."""
        await self._sender.write(data)

    async def answer(self, content_type: str, metadata: Metadata, data: bytes) -> None:
        """Send the headers and the whole body."""
        headers = [(b"content-type", content_type.encode()), *encode_headers(metadata)]
        await self._send_whole(200, headers, data)

    async def fail(self, refusal: Refusal) -> None:
        """Send the line that ends a stream which broke off."""
        await self.send(_error_line(refusal))

    async def refuse(self, refusal: Refusal) -> None:
        """Say why there is no answer, or no more of it.

        Raises:
            OSError: The caller is gone.
        """
        if self._started:
            self._ended = True
            await self._sender.end(_error_line(refusal))
            return
        trailers = refusal_trailers(refusal, self._request_id)
        metadata = tuple(pair for pair in trailers if pair[0] not in _INTERNAL)
        status = refusal.status.http
        if status == _UNAVAILABLE and refusal.retry_after is None:
            metadata = (*metadata, _RETRY_SOON)
        text = {"error_code": refusal.status.error_code, "message": shorten(refusal.message)}
        await self._send_whole(status, [_JSON, *encode_headers(metadata)], orjson.dumps(text))

    async def end(self) -> None:
        """End the answer, unless it has ended.

        Raises:
            OSError: The caller is gone.
        """
        if not self._ended:
            self._ended = True
            await self._sender.end()

    async def _send_whole(self, status: int, headers: Headers, data: bytes) -> None:
        self._ended = True
        headers.append((b"content-length", b"%d" % len(data)))
        await self._sender.start(headers, trailers=False, status=status)
        await self._sender.end(data)


class RestHost:
    """An ASGI application that carries requests of the REST API to a service."""

    def __init__(self, service: AsgiService) -> None:
        """Carry requests to a service."""
        self._service = service

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Carry one request."""
        metadata = HeaderMetadata(scope["headers"])
        sender = Sender(send)
        request_id = request_id_of(metadata)
        reply = RestReply(sender, request_id)
        try:
            method, name = _parse_path(scope["path"])
            body = await _read(metadata, receive)
            call = Call(method, name, "", body, metadata, request_id)
            await self._service.answer(call, reply, receive, sender)
        except CallerGone:
            return
        except asyncio.CancelledError:
            if sender.left:
                return
            raise
        except Exception as error:  # noqa: BLE001 - a bug must reach the caller as one, too
            with contextlib.suppress(OSError):
                await reply.refuse(refuse(error, request_id))
        with contextlib.suppress(OSError):
            await reply.end()


def _error_line(refusal: Refusal) -> bytes:
    return encode_error_line(refusal.status.error_code, refusal.message)


def _parse_path(path: str) -> tuple[Method, str]:
    """Return the method and the endpoint; Envoy lets only such paths through."""
    rest = path.removeprefix(PREFIX)
    if method := _METHODS.get(rest):
        return method, ""
    return Method.QUERY, rest.removesuffix("/invocations")


async def _read(metadata: HeaderMetadata, receive: Receive) -> bytes:
    """Return the body.

    Raises:
        MalformedRequest: It is too long.
    """
    length = _parse_length(metadata.get("content-length"))
    parts: list[bytes] = []
    size = 0
    more = True
    while more and size <= _MAX_BODY_BYTES and size != length:
        part, more = await receive_part(receive)
        parts.append(part)
        size += len(part)
    if size > _MAX_BODY_BYTES:
        raise MalformedRequest("The request body is too large: at most 16 MiB are accepted.")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _parse_length(text: str | None) -> int:
    """Return the length that a body will have; -1: unknown. Its end comes in an event more."""
    return int(text) if text and text.isascii() and text.isdigit() else -1
