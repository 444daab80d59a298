"""One connection of a server of HTTP/1.1: a request in, its answer out, then the next.

`listener.py` makes connections and bounds them, an application answers what they bring. httptools
parses (https://github.com/MagicStack/httptools); the rules are those of RFC 9112. The application
is called as soon as the head is there, so that who calls is known before what they send; a request
that comes in one piece, as almost all do, costs one read, one task and one write.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeAlias, cast

import orjson
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from modelplane.data_plane.hosts.http1.head import encode_fields, status_line

# As the gRPC servers take (`adapters/rpc/server.py`): Envoy admits 48 KiB and adds some.
MAX_HEAD_BYTES = 64 * 1024
# Of a body that nobody has asked for yet; it may be exceeded by one read of the socket.
_AHEAD_BYTES = 64 * 1024
# What the kernel has not taken: above, whoever writes waits.
_HELD_BYTES = 64 * 1024
# Below this, one copy costs less than a second buffer in the system call.
_JOINED_BYTES = 16 * 1024
# Of a header, beside its name and value.
_FIELD_BYTES = len(": \r\n")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE = b"connection: close\r\n"
_CHUNKED = b"transfer-encoding: chunked\r\n"
_JSON = encode_fields((("content-type", "application/json"),))
_OK = 200
_TOO_SLOW = 408
# How much of a request has arrived. Plain numbers: a member of an enum takes longer to look up.
_IDLE, _HEAD, _BODY, _WHOLE = range(4)


class BodyTooLong(Exception):
    """A request's body is longer than whoever reads it takes."""


class Owner(Protocol):
    """Keeps connections; see `listener.py`.

    Attributes:
        tick: Counts seconds.
        draining: Whether each connection closes after its answer.
    """

    tick: int
    draining: bool

    def opened(self, connection: "Connection") -> bool:
        """Note a new connection; return whether there is room for it."""

    def closed(self, connection: "Connection") -> None:
        """Forget a connection."""

    def await_rest(self, connection: "Connection") -> None:
        """Bound the time until the whole request is there."""

    def got_rest(self, connection: "Connection") -> None:
        """Note that it is."""


class Connection(asyncio.Protocol):
    """One connection, and the request that is under way on it.

    Attributes:
        method: Method of the request.
        target: Its path and query.
        headers: Its headers by name in lower case, as Latin-1; the last of several values wins.
        idle_since: `Owner.tick` at which the last answer ended.
    """

    __slots__ = (
        "_ahead_bytes",
        "_application",
        "_begun",
        "_body",
        "_body_bytes",
        "_discards",
        "_expects",
        "_fields",
        "_head",
        "_head_bytes",
        "_keep",
        "_loop",
        "_names",
        "_names_sent",
        "_owner",
        "_parser",
        "_phase",
        "_progressed",
        "_reader",
        "_refusal",
        "_room",
        "_stopped",
        "_task",
        "_transport",
        "_waits",
        "headers",
        "idle_since",
        "method",
        "on_header",
        "target",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, application: "Application", owner: Owner
    ) -> None:
        self.method = b""
        self.target = b""
        self.headers: dict[str, str] = {}
        self.idle_since = owner.tick
        self._loop = loop
        self._application = application
        self._owner = owner
        # Of the head that arrives, and then of the trailers, which nobody reads.
        self._fields: dict[bytes, bytes] = {}
        # The parser calls it for each header: a method here would cost as much as all its work.
        self.on_header = self._fields.__setitem__
        # The names in the last head, as they were sent and as they are read: mostly the same again.
        self._names_sent = b""
        self._names = [""]
        self._parser = HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._phase = _IDLE
        self._body: list[bytes] = []
        self._body_bytes = self._head_bytes = 0
        self._ahead_bytes = _AHEAD_BYTES
        # The head of an answer, until its first part leaves with it.
        self._head = b""
        self._begun = self._keep = self._expects = self._discards = self._progressed = False
        # Whether the socket is not read, and whether the request's rest has a deadline.
        self._stopped = self._waits = False
        self._refusal: tuple[int, str] | None = None
        self._reader: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._task is not None

    @property
    def idle(self) -> bool:
        """Whether no request has begun."""
        return self._phase == _IDLE and self._task is None

    # What the application calls.

    async def read(self) -> bytes:
        """Return what has arrived of the body, waiting for some; empty at its end."""
        while not self._body:
            if self._phase == _WHOLE:
                return b""
            await self._wait_for_body()
        return self._take_body()

    def take_whole(self, limit: int) -> bytes | None:
        """Return the body, if all of it is there and it has at most `limit` bytes."""
        if self._phase != _WHOLE or self._body_bytes > limit:
            return None
        return self._take_body()

    async def read_whole(self, limit: int) -> bytes:
        """Return the body.

        Raises:
            BodyTooLong: It has more than `limit` bytes.
        """
        if self._phase != _WHOLE:
            self._ahead_bytes = limit
            self._read_on()
        while self._phase != _WHOLE and self._body_bytes <= limit:
            await self._wait_for_body()
        if self._body_bytes > limit:
            raise BodyTooLong
        return self._take_body()

    def respond(self, status: int, fields: bytes, body: bytes) -> None:
        """Answer with a whole body."""
        line, close, length = status_line(status), self._close_field(), len(body)
        head = b"%b%b%bcontent-length: %d\r\n\r\n" % (line, fields, close, length)
        if self.method == b"HEAD":
            body = b""
        self._write(head, body)
        self._end_answer()

    def begin(self, fields: bytes, status: int = _OK) -> None:
        """Begin an answer whose length is not known; its head leaves with its first part."""
        self._begun = True
        line, close = status_line(status), self._close_field()
        self._head = b"%b%b%b%b\r\n" % (line, fields, close, _CHUNKED)

    async def write(self, data: bytes) -> None:
        """Send a part of the answer; returns when there is room for more.

        Raises:
            CancelledError: The caller is gone.
        """
        head, self._head = self._head, b""
        self._write(b"%b%x\r\n" % (head, len(data)), data, b"\r\n")
        while self._room is not None:
            await self._room

    def end(self, data: bytes = b"", trailers: bytes = b"") -> None:
        """Send the last part, perhaps, and trailers, and end the answer."""
        head, self._head = self._head, b""
        if data:
            head = b"%b%x\r\n" % (head, len(data))
            self._write(head, data, b"\r\n0\r\n%b\r\n" % trailers)
        else:
            self._write(b"%b0\r\n%b\r\n" % (head, trailers))
        self._end_answer()

    # What the listener calls.

    def refuse(self, status: int, message: str) -> None:
        """Say what is wrong with a request that no application has seen, and close."""
        self._keep = False
        code = "DEADLINE_EXCEEDED" if status == _TOO_SLOW else "BAD_REQUEST"
        self.respond(status, _JSON, orjson.dumps({"error_code": code, "message": message}))

    def expire(self) -> None:
        """Give up on a request that does not arrive."""
        if self._task is None and not self._discards:
            self.refuse(_TOO_SLOW, "The request did not arrive in time.")
        else:
            self.abort()

    def close_if_idle(self) -> None:
        """Close, unless a request is under way; what is answered then closes after its answer."""
        if self.idle and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once; whatever is under way is cancelled."""
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports do not derive from asyncio's.
        self._transport = made = cast("asyncio.Transport", transport)
        made.set_write_buffer_limits(high=_HELD_BYTES)
        if not self._owner.opened(self):
            made.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what is under way: its caller is gone."""
        del exc
        self._transport = None
        # The parser refers back to this object.
        del self._parser
        self._owner.closed(self)
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Parse; call the application once the head is there."""
        if self._refusal is not None:
            return
        self._progressed = False
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._reject()
            return
        self._head_bytes = 0 if self._progressed else self._head_bytes + len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refusal = 431, "The request's headers are too large."
            self._reject()
            return
        if not self._waits and self._phase in (_HEAD, _BODY):
            self._waits = True
            self._owner.await_rest(self)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def eof_received(self) -> None:
        """Close: who sends no more is taken for gone."""

    def pause_writing(self) -> None:
        """Let whoever writes wait."""
        if self._room is None:
            self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let them go on."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Take the next request, but none before the last one is answered."""
        if self._phase != _IDLE or self._task is not None:
            self._refusal = 400, "A request came before the last one was answered."
            raise HttpParserError
        self._phase = _HEAD
        self._fields.clear()
        self.target = b""

    def on_url(self, url: bytes) -> None:
        """Keep the target, or a part of it."""
        self.target += url

    def on_headers_complete(self) -> None:
        """Read the head."""
        parser, fields = self._parser, self._fields
        # All at once: no name or value holds a line break.
        names = b"\n".join(fields)
        if names != self._names_sent:
            self._names_sent = names
            self._names = names.decode("latin-1").lower().split("\n")
        values = b"\n".join(fields.values()).decode("latin-1")
        self.headers = headers = dict(zip(self._names, values.split("\n"), strict=True))
        size = len(names) + len(values) + _FIELD_BYTES * len(fields)
        fields.clear()
        self.method = parser.get_method()
        self._keep = parser.should_keep_alive()
        self._begun = False
        self._phase = _BODY
        self._progressed = True
        self._ahead_bytes = _AHEAD_BYTES
        self._check_head(headers, size)
        self._expects = headers.get("expect", "").lower() == "100-continue"
        self._task = self._loop.create_task(self._application(self))

    def on_body(self, data: bytes) -> None:
        """Keep a part of the body."""
        self._progressed = True
        if self._discards:
            return
        self._body.append(data)
        self._body_bytes += len(data)
        if self._body_bytes > self._ahead_bytes and not self._stopped and self._transport:
            self._stopped = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        self._progressed = True
        self._phase = _WHOLE
        if self._waits:
            self._waits = False
            self._owner.got_rest(self)
        if self._discards:
            self._become_idle()

    def _check_head(self, headers: dict[str, str], size: int) -> None:
        if self._parser.get_http_version() != "1.1":
            self._refusal = 505, "Only HTTP/1.1 is spoken here."
        elif "upgrade" in headers or self.method == b"CONNECT":
            self._refusal = 400, "No other protocol is spoken here."
        elif size > MAX_HEAD_BYTES:
            self._refusal = 431, "The request's headers are too large."
        else:
            return
        raise HttpParserError

    def _reject(self) -> None:
        """Close on what is no request; an answer under way goes out first."""
        status, message = self._refusal = self._refusal or (400, "The request is not valid HTTP.")
        self._keep = False
        if self._task is not None and self._phase == _WHOLE:
            # What came is no part of the request that is being answered.
            return
        task, self._task = self._task, None
        if task is not None:
            # The rest of its request will never come.
            task.cancel()
        if self._begun or self._discards:
            self.abort()
        else:
            self.refuse(status, message)

    def _end_answer(self) -> None:
        """Be ready for the next request, or close."""
        self._task = None
        self._forget_body()
        transport = self._transport
        if transport is None:
            return
        if self._close_field():
            transport.close()
        elif self._phase == _WHOLE:
            self._become_idle()
        else:
            # Who is answered before the body was read may go on sending it.
            self._discards = True

    def _close_field(self) -> bytes:
        """Return the header that says that the connection closes; empty: it stays."""
        # Who was not told to send the body may not send it.
        waits_for_leave = self._expects and self._phase != _WHOLE
        keep = self._keep and not waits_for_leave and not self._owner.draining
        return b"" if keep else _CLOSE

    def _become_idle(self) -> None:
        self._phase = _IDLE
        self._discards = False
        self._head_bytes = 0
        self.idle_since = self._owner.tick

    def _write(self, *parts: bytes) -> None:
        transport = self._transport
        if transport is None:
            raise asyncio.CancelledError
        if sum(map(len, parts)) < _JOINED_BYTES:
            transport.write(b"".join(parts))
        else:
            transport.writelines(parts)

    async def _wait_for_body(self) -> None:
        if self._expects and self._transport is not None:
            self._expects = False
            self._transport.write(_CONTINUE)
        self._reader = reader = self._loop.create_future()
        try:
            await reader
        finally:
            self._reader = None

    def _take_body(self) -> bytes:
        parts = self._body
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._forget_body()
        return data

    def _forget_body(self) -> None:
        if self._body:
            self._body = []
        self._body_bytes = 0
        # Also what is whole may have stopped the reading, which the next request needs.
        self._read_on()

    def _read_on(self) -> None:
        if self._stopped and self._transport is not None and self._body_bytes <= self._ahead_bytes:
            self._stopped = False
            self._transport.resume_reading()


Application: TypeAlias = Callable[[Connection], Coroutine[Any, Any, None]]
