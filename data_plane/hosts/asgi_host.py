"""Carries calls over ASGI with HTTP/2 trailers: the host inside Envoy; `host.py` says what it is.

The counterpart of `grpc_host.py`: the gRPC protocol itself is `adapters/rpc/framing.py`'s. Requests
are of one message, as all RPCs of the service are. ASGI: https://asgi.readthedocs.io/en/latest/.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import grpc
from google.protobuf.message import DecodeError

from modelplane.adapters.rpc.framing import (
    ENCODINGS,
    IDENTITY,
    FrameError,
    MessageReader,
    MessageTooLong,
    encode_message,
    encode_status_message,
    parse_timeout,
)
from modelplane.adapters.rpc.metadata import Metadata
from modelplane.adapters.rpc.server import MAX_MESSAGE_BYTES
from modelplane.adapters.rpc.status import shorten
from modelplane.data_plane.errors import Refusal
from modelplane.data_plane.hosts.asgi_sender import Event, Headers, Receive, Send, Sender
from modelplane.data_plane.hosts.asgi_service import (
    AsgiService,
    CallerGone,
    HeaderMetadata,
    encode_headers,
    receive_part,
)
from modelplane.data_plane.hosts.host import Rpc, make_call, refusal_trailers, refuse, request_id_of

Unary: TypeAlias = Callable[[bytes], bytes]

_CODE = grpc.StatusCode
_CONTENT_TYPE = (b"content-type", b"application/grpc")
_OK = (b"grpc-status", b"0")
_ENCODINGS = (b"grpc-accept-encoding", ",".join(ENCODINGS).encode())
_UNSUPPORTED_MEDIA_TYPE = 415


class Ended(Exception):
    """A call ends with a status before any service has seen it."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class AsgiOutlet:
    """Takes the messages of one call; see `host.Outlet`.

    Attributes:
        sender: Sends them.
        request_id: Identifies the call.
    """

    __slots__ = ("_ended", "_started", "_trailers", "request_id", "sender")

    def __init__(self, sender: Sender, request_id: str) -> None:
        self.sender = sender
        self.request_id = request_id
        self._started = self._ended = False
        # What the call ends with once it has been answered.
        self._trailers = [_OK]

    async def start(self, metadata: Metadata) -> None:
        """Send the initial metadata."""
        self._started = True
        await self.sender.start([_CONTENT_TYPE, *encode_headers(metadata)], trailers=True)

    async def send(self, message: bytes) -> None:
        """Send one message."""
        await self.sender.write(encode_message(message))

    async def answer(self, metadata: Metadata, message: bytes) -> None:
        """Send the initial metadata and the only message, and end the call."""
        await self.start(metadata)
        self._ended = True
        await self.sender.end(encode_message(message), self._trailers)

    async def fail(self, refusal: Refusal) -> None:
        """Let the call end with the status of a refusal."""
        trailers = refusal_trailers(refusal, self.request_id)
        self.end_with(refusal.status.code, refusal.message, encode_headers(trailers))

    def end_with(self, code: grpc.StatusCode, message: str, trailers: Headers) -> None:
        """Let the call end with a status."""
        text = encode_status_message(shorten(message)).encode("ascii")
        number = str(code.value[0]).encode()
        self._trailers = [(b"grpc-status", number), (b"grpc-message", text), *trailers]

    async def end(self) -> None:
        """End the call, unless it has ended.

        Raises:
            OSError: The caller is gone.
        """
        if self._ended:
            return
        if self._started:
            await self.sender.end(b"", self._trailers)
            return
        # The shape that gRPC calls "Trailers-Only".
        await self.sender.start([_CONTENT_TYPE, *self._trailers], trailers=False)
        await self.sender.end()


class AsgiHost:
    """An ASGI application that carries calls of RPCs to a service."""

    def __init__(
        self,
        rpcs: Iterable[Rpc],
        service: AsgiService,
        unary: Mapping[str, Unary] = MappingProxyType({}),
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        """Carry calls.

        Args:
            rpcs: What may be called.
            service: Answers the calls.
            unary: What answers at once and by itself, by path; may raise `Ended`.
            max_message_bytes: Longest message of a request.
        """
        self._unary = unary
        self._rpcs = {f"/{rpc.service}/{rpc.name}": rpc for rpc in rpcs}
        self._service = service
        self._max_message_bytes = max_message_bytes

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Carry one call."""
        metadata = HeaderMetadata(scope["headers"])
        sender = Sender(send)
        if not metadata.get("content-type", "").startswith("application/grpc"):
            headers = [(b"content-type", b"text/plain")]
            await sender.start(headers, trailers=False, status=_UNSUPPORTED_MEDIA_TYPE)
            await sender.end()
            return
        outlet = AsgiOutlet(sender, request_id_of(metadata))
        try:
            await self._carry(scope["path"], metadata, receive, outlet)
        except CallerGone:
            return
        except asyncio.CancelledError:
            if sender.left:
                return
            raise
        except DecodeError:
            outlet.end_with(_CODE.INTERNAL, "The request is no such message.", [])
        except Ended as ended:
            outlet.end_with(ended.code, str(ended), [_ENCODINGS])
        except Exception as error:  # noqa: BLE001 - a bug must reach the caller as one, too
            await outlet.fail(refuse(error, outlet.request_id))
        with contextlib.suppress(OSError):
            await outlet.end()

    async def _carry(
        self, path: str, metadata: HeaderMetadata, receive: Receive, outlet: AsgiOutlet
    ) -> None:
        """Read a request and answer it."""
        if unary := self._unary.get(path):
            await outlet.answer((), unary(await self._read(metadata, receive)))
            return
        rpc = self._find(path)
        message = await self._read(metadata, receive)
        deadline = parse_timeout(metadata.get("grpc-timeout", ""))
        call = make_call(rpc.read(message), metadata, outlet.request_id, deadline)
        await self._service.answer(call, rpc.reply(outlet), receive, outlet.sender)

    def _find(self, path: str) -> Rpc:
        rpc = self._rpcs.get(path)
        if rpc is None:
            raise Ended(_CODE.UNIMPLEMENTED, f"There is no method {path}.")
        return rpc

    async def _read(self, metadata: HeaderMetadata, receive: Receive) -> bytes:
        """Return the request's one message."""
        encoding = metadata.get("grpc-encoding", IDENTITY)
        if encoding not in ENCODINGS:
            raise Ended(_CODE.UNIMPLEMENTED, f"Compression '{encoding}' is not supported.")
        try:
            messages = await _read_messages(
                MessageReader(self._max_message_bytes, encoding), receive
            )
        except MessageTooLong as error:
            raise Ended(_CODE.RESOURCE_EXHAUSTED, str(error)) from None
        except FrameError as error:
            raise Ended(_CODE.INTERNAL, str(error)) from None
        if len(messages) != 1:
            text = f"A request has one message, not {len(messages)}."
            raise Ended(_CODE.UNIMPLEMENTED, text)
        return messages[0]


async def _read_messages(reader: MessageReader, receive: Receive) -> list[bytes]:
    """Return the messages of a request, or the first few of many."""
    messages: list[bytes] = []
    more = True
    while more:
        part, more = await receive_part(receive)
        messages += reader.feed(part)
        if len(messages) > 1:
            # What follows is not read: who calls is not known yet, and it may never end.
            return messages
    reader.finish()
    return messages
