"""Carries calls over ASGI with HTTP/2 trailers: the host inside Envoy; `host.py` says what it is.

The counterpart of `grpc_host.py`: the gRPC protocol itself is `adapters/rpc/framing.py`'s. Requests
are of one message, as all RPCs of the service are. ASGI: https://asgi.readthedocs.io/en/latest/.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from adapters.rpc.framing import (
    FrameError,
    MessageCompressed,
    MessageReader,
    MessageTooLong,
    encode_message,
    encode_status_message,
    parse_timeout,
)
from adapters.rpc.metadata import Metadata
from adapters.rpc.server import MAX_MESSAGE_BYTES
from adapters.rpc.status import shorten
from data_plane.errors import Refusal, WorkerNotReady
from data_plane.hosts.departures import Lookout
from data_plane.hosts.host import (
    Rpc,
    Service,
    make_call,
    refusal_trailers,
    refuse,
    request_id_of,
)

_Event: TypeAlias = dict[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Event]]
_Send: TypeAlias = Callable[[_Event], Awaitable[None]]
_Headers: TypeAlias = list[tuple[bytes, bytes]]
Unary: TypeAlias = Callable[[bytes], bytes]

_CODE = grpc.StatusCode
_CONTENT_TYPE = (b"content-type", b"application/grpc")
_OK = (b"grpc-status", b"0")
_ENCODINGS = (b"grpc-accept-encoding", b"identity")
_END_OF_BODY: _Event = {"type": "http.response.body", "body": b"", "more_body": False}
_GRPC = b"application/grpc"
_UNSUPPORTED_MEDIA_TYPE = 415


class _Gone(Exception):
    """The caller went away before the request was there."""


class Ended(Exception):
    """A call ends with a status before any service has seen it."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class HeaderMetadata(Mapping[str, str]):
    """Request headers as metadata, decoded when asked for; the last of several values wins."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._headers = dict(headers)

    def __getitem__(self, name: str) -> str:
        """Return the value of a header, whose name is in lower case."""
        return self._headers[name.encode("latin-1")].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return (name.decode("latin-1") for name in self._headers)

    def __len__(self) -> int:
        """Return the number of names."""
        return len(self._headers)


class AsgiOutlet:
    """Takes the messages of one call; see `host.Outlet`."""

    __slots__ = ("_send", "left", "request_id", "sent", "started", "trailers")

    def __init__(self, send: _Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.started = False
        self.sent = 0
        # Whether the caller is known to be gone.
        self.left = False
        # What the call ends with once it has been answered.
        self.trailers: _Headers = [_OK]

    async def start(self, metadata: Metadata) -> None:
        """Send the initial metadata."""
        self.started = True
        await self._pass(_start([_CONTENT_TYPE, *_encode(metadata)], trailers=True))

    async def send(self, message: bytes) -> None:
        """Send one message."""
        body = encode_message(message)
        await self._pass({"type": "http.response.body", "body": body, "more_body": True})
        self.sent += 1

    async def fail(self, refusal: Refusal) -> None:
        """Let the call end with the status of a refusal."""
        trailers = refusal_trailers(refusal, self.request_id)
        self.trailers = _status(refusal.status.code, refusal.message, trailers)

    async def _pass(self, event: _Event) -> None:
        try:
            await self._send(event)
        except OSError:
            self.left = True
            raise asyncio.CancelledError from None

    async def end(self) -> None:
        """End the call.

        Raises:
            OSError: The caller is gone.
        """
        if not self.started:
            # The shape that gRPC calls "Trailers-Only".
            await self._send(_start([_CONTENT_TYPE, *self.trailers], trailers=False))
            await self._send(_END_OF_BODY)
            return
        await self._send(_END_OF_BODY)
        await self._send({"type": "http.response.trailers", "headers": self.trailers})


class AsgiHost:
    """An ASGI application that carries calls of RPCs to a service."""

    def __init__(
        self,
        rpcs: Iterable[Rpc],
        service: Service,
        ready: Callable[[], bool] = lambda: True,
        unary: Mapping[str, Unary] = MappingProxyType({}),
        lookout: Lookout | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        """Carry calls.

        Args:
            rpcs: What may be called.
            service: Answers the calls.
            ready: Tells whether it may be asked now: nothing before this host looks after that.
            unary: What answers at once and by itself, by path; may raise `Ended`.
            lookout: Notices callers who leave; None: one of its own.
            max_message_bytes: Longest message of a request.
        """
        self._unary = unary
        self._lookout = lookout or Lookout()
        self._ready = ready
        self._rpcs = {f"/{rpc.service}/{rpc.name}": rpc for rpc in rpcs}
        self._service = service
        self._max_message_bytes = max_message_bytes

    async def __call__(self, scope: _Event, receive: _Receive, send: _Send) -> None:
        """Carry one call."""
        metadata = HeaderMetadata(scope["headers"])
        if not metadata.get("content-type", "").startswith("application/grpc"):
            headers = [(b"content-type", b"text/plain")]
            await send(_start(headers, trailers=False, status=_UNSUPPORTED_MEDIA_TYPE))
            await send(_END_OF_BODY)
            return
        request_id = request_id_of(metadata)
        outlet = AsgiOutlet(send, request_id)
        try:
            await self._carry(scope["path"], metadata, receive, outlet)
        except _Gone:
            return
        except asyncio.CancelledError:
            if outlet.left:
                return
            raise
        except DecodeError:
            outlet.trailers = _status(_CODE.INTERNAL, "The request is no such message.", ())
        except Ended as ended:
            outlet.trailers = [*_status(ended.code, str(ended), ()), _ENCODINGS]
        except Exception as error:  # noqa: BLE001 - a bug must reach the caller as one, too
            await outlet.fail(refuse(error, request_id))
        with contextlib.suppress(OSError):
            await outlet.end()

    async def _carry(
        self, path: str, metadata: HeaderMetadata, receive: _Receive, outlet: AsgiOutlet
    ) -> None:
        """Read a request and answer it."""
        if unary := self._unary.get(path):
            answer = unary(await self._read(metadata, receive))
            await outlet.start(())
            await outlet.send(answer)
            return
        rpc = self._find(path)
        message = await self._read(metadata, receive)
        deadline = parse_timeout(metadata.get("grpc-timeout", ""))
        call = make_call(rpc.read(message), metadata, outlet.request_id, deadline)
        watch = self._lookout.watch(receive, outlet)
        try:
            if not self._ready():
                raise WorkerNotReady
            await self._service.answer(call, rpc.reply(outlet))
        finally:
            self._lookout.forget(watch)

    def _find(self, path: str) -> Rpc:
        rpc = self._rpcs.get(path)
        if rpc is None:
            raise Ended(_CODE.UNIMPLEMENTED, f"There is no method {path}.")
        return rpc

    async def _read(self, metadata: HeaderMetadata, receive: _Receive) -> bytes:
        """Return the request's one message."""
        encoding = metadata.get("grpc-encoding", "identity")
        if encoding != "identity":
            raise Ended(_CODE.UNIMPLEMENTED, f"Compression '{encoding}' is not supported.")
        reader = MessageReader(self._max_message_bytes)
        messages: list[bytes] = []
        more = True
        try:
            while more:
                event = await receive()
                if event["type"] == "http.disconnect":
                    raise _Gone
                messages += reader.feed(event.get("body", b""))
                # What follows is not read: who calls is not known yet, and it may never end.
                more = event.get("more_body", False) and len(messages) <= 1
            if len(messages) <= 1:
                reader.finish()
        except MessageTooLong as error:
            raise Ended(_CODE.RESOURCE_EXHAUSTED, str(error)) from None
        except (MessageCompressed, FrameError) as error:
            raise Ended(_CODE.INTERNAL, str(error)) from None
        if len(messages) != 1:
            text = f"A request has one message, not {len(messages)}."
            raise Ended(_CODE.UNIMPLEMENTED, text)
        return messages[0]


def _start(headers: _Headers, *, trailers: bool, status: int = 200) -> _Event:
    return {
        "type": "http.response.start",
        "status": status,
        "headers": headers,
        "trailers": trailers,
    }


def _status(code: grpc.StatusCode, message: str, metadata: Metadata) -> _Headers:
    text = encode_status_message(shorten(message)).encode("ascii")
    number = str(code.value[0]).encode()
    return [(b"grpc-status", number), (b"grpc-message", text), *_encode(metadata)]


def _encode(metadata: Metadata) -> Iterator[tuple[bytes, bytes]]:
    return ((name.encode("latin-1"), value.encode("latin-1")) for name, value in metadata)
