"""Carries gRPC calls to the service: `calls/call.py` says what that is.

Envoy hands a call over as a chunked request of HTTP/1.1, and takes an answer with trailers for it;
the gRPC protocol itself is `adapters/shared/rpc/framing.py`'s. Requests are of one message, as all
RPCs of the service are.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from modelplane.adapters.shared.rpc.framing import (
    ENCODINGS,
    IDENTITY,
    FrameError,
    MessageReader,
    MessageTooLong,
    encode_message,
    encode_status_message,
    parse_timeout,
)
from modelplane.adapters.shared.rpc.metadata import Metadata, request_id_of
from modelplane.adapters.shared.rpc.sizes import MAX_MESSAGE_BYTES
from modelplane.adapters.shared.rpc.status import shorten
from modelplane.data_plane.calls.call import Call, Service, allow
from modelplane.data_plane.calls.refusals import settle
from modelplane.data_plane.errors import Refusal
from modelplane.data_plane.hosts.carrying import carry, refusal_trailers
from modelplane.data_plane.hosts.grpc.rpc import Rpc
from modelplane.data_plane.hosts.http1.connection import Connection
from modelplane.data_plane.hosts.http1.head import encode_fields

Unary: TypeAlias = Callable[[bytes], bytes]

_CODE = grpc.StatusCode
_CONTENT_TYPE = ("content-type", "application/grpc")
_OK = encode_fields((("grpc-status", "0"),))
_ENCODINGS = ("grpc-accept-encoding", ",".join(ENCODINGS))
_HTTP_OK = 200


class Ended(Exception):
    """A call ends with a status before any service has seen it."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class GrpcOutlet:
    """Takes the messages of one call; see `rpc.Outlet` and `carrying.Outcome`."""

    __slots__ = ("_connection", "_ended", "_started", "_trailers", "request_id")

    def __init__(self, connection: Connection) -> None:
        self.request_id = request_id_of(connection.headers)
        self._connection = connection
        self._started = self._ended = False
        # What the call ends with once it has been answered.
        self._trailers = _OK

    async def start(self, metadata: Metadata) -> None:
        """Send the initial metadata."""
        self._started = True
        self._connection.begin(encode_fields((_CONTENT_TYPE, *metadata)))

    async def send(self, message: bytes) -> None:
        """Send one message."""
        await self._connection.write(encode_message(message))

    async def answer(self, metadata: Metadata, message: bytes) -> None:
        """Send the initial metadata and the only message, and end the call."""
        self._ended = True
        self._connection.begin(encode_fields((_CONTENT_TYPE, *metadata)))
        self._connection.end(encode_message(message), self._trailers)

    async def fail(self, refusal: Refusal) -> None:
        """Let the call end with the status of a refusal."""
        self._end_with_refusal(refusal)

    def refuse(self, error: Exception) -> None:
        """End the call with the status of an error."""
        if isinstance(error, DecodeError):
            self._end_with(_CODE.INTERNAL, "The request is no such message.")
        elif isinstance(error, Ended):
            self._end_with(error.code, str(error), (_ENCODINGS,))
        else:
            self._end_with_refusal(settle(error, self.request_id))
        self.end()

    def end(self) -> None:
        """End the call, unless it has ended."""
        if self._ended:
            return
        if self._started:
            self._connection.end(b"", self._trailers)
            return
        # The shape that gRPC calls "Trailers-Only".
        fields = encode_fields((_CONTENT_TYPE,)) + self._trailers
        self._connection.respond(_HTTP_OK, fields, b"")

    def _end_with_refusal(self, refusal: Refusal) -> None:
        trailers = refusal_trailers(refusal, self.request_id)
        self._end_with(refusal.status.code, refusal.message, trailers)

    def _end_with(self, code: grpc.StatusCode, message: str, trailers: Metadata = ()) -> None:
        """Let the call end with a status."""
        status = ("grpc-status", str(code.value[0]))
        text = ("grpc-message", encode_status_message(shorten(message)))
        self._trailers = encode_fields((status, text, *trailers))


class GrpcCalls:
    """Carries calls of RPCs to a service."""

    def __init__(
        self,
        rpcs: Iterable[Rpc],
        service: Service,
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
        self._unary = {path.encode(): answer for path, answer in unary.items()}
        self._rpcs = {f"/{rpc.service}/{rpc.name}".encode(): rpc for rpc in rpcs}
        self._service = service
        self._max_message_bytes = max_message_bytes

    def carry(self, connection: Connection) -> Coroutine[Any, Any, None]:
        """Return what carries one call; see `carrying.carry`."""
        outlet = GrpcOutlet(connection)
        return carry(partial(self._answer, connection, outlet), outlet)

    async def _answer(self, connection: Connection, outlet: GrpcOutlet) -> None:
        path, metadata = connection.target, connection.headers
        if unary := self._unary.get(path):
            await outlet.answer((), unary(await self._read(connection)))
            return
        rpc = self._rpcs.get(path)
        if rpc is None:
            raise Ended(_CODE.UNIMPLEMENTED, f"There is no method {path.decode('latin-1')}.")

        async def receive(call: Call) -> None:
            rpc.read(await self._read(connection, call.arriving), call)

        call = Call(
            rpc.method,
            metadata,
            outlet.request_id,
            rpc.task,
            deadline_seconds=parse_timeout(metadata.get("grpc-timeout", "")),
            receive=receive,
        )
        await self._service.answer(call, rpc.reply(outlet))

    async def _read(self, connection: Connection, arriving: Callable[[int], None] = allow) -> bytes:
        """Return the request's one message."""
        encoding = connection.headers.get("grpc-encoding", IDENTITY)
        if encoding not in ENCODINGS:
            raise Ended(_CODE.UNIMPLEMENTED, f"Compression '{encoding}' is not supported.")
        reader = MessageReader(self._max_message_bytes, encoding)
        try:
            messages = await _read_messages(reader, connection, arriving)
        except MessageTooLong as error:
            raise Ended(_CODE.RESOURCE_EXHAUSTED, str(error)) from None
        except FrameError as error:
            raise Ended(_CODE.INTERNAL, str(error)) from None
        if len(messages) != 1:
            text = f"A request has one message, not {len(messages)}."
            raise Ended(_CODE.UNIMPLEMENTED, text)
        return messages[0]


async def _read_messages(
    reader: MessageReader, connection: Connection, arriving: Callable[[int], None]
) -> list[bytes]:
    """Return the messages of a request, or the first few of many."""
    messages: list[bytes] = []
    size = 0
    while data := await connection.read():
        size += len(data)
        arriving(size)
        messages += reader.feed(data)
        if len(messages) > 1:
            # What follows is not read: it may never end.
            return messages
    reader.finish()
    return messages
