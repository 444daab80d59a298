"""The requests that come over one connection of HTTP/1.1, one after the other.

`connection.py` answers them. httptools parses (https://github.com/MagicStack/httptools); the rules
are those of RFC 9112. A request is taken up as soon as its head is there, so that who calls is
known before what they send; its body waits in pieces until somebody reads it.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from modelplane.adapters.shared.rpc.sizes import MAX_HEAD_BYTES

# Of a body that nobody has asked for yet; it may be exceeded by one read of the socket.
_AHEAD_BYTES = 64 * 1024
# What the kernel has not taken: above, whoever writes waits.
_HELD_BYTES = 64 * 1024
# Of a header, beside its name and value.
_FIELD_BYTES = len(": \r\n")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# How much of a request has arrived. Plain numbers: a member of an enum takes longer to look up.
IDLE, HEAD, BODY, WHOLE = range(4)


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

    def opened(self, connection: "Incoming") -> bool:
        """Note a new connection; return whether there is room for it."""

    def closed(self, connection: "Incoming") -> None:
        """Forget a connection."""

    def await_rest(self, connection: "Incoming") -> None:
        """Bound the time until the whole request is there."""

    def got_rest(self, connection: "Incoming") -> None:
        """Note that it is."""


class Incoming(asyncio.Protocol):
    """The request that comes over a connection.

    Attributes:
        method: Method of the request.
        target: Its path and query.
        headers: Its headers by name in lower case, as Latin-1; the last of several values wins.
        idle_since: `Owner.tick` at which the last answer ended.
    """

    __slots__ = (
        "_ahead_bytes",
        "_body",
        "_body_bytes",
        "_discarded_bytes",
        "_discards",
        "_expects",
        "_fields",
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
        "_stopped",
        "_transport",
        "_waits",
        "headers",
        "idle_since",
        "method",
        "on_header",
        "target",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner) -> None:
        self.method = b""
        self.target = b""
        self.headers: dict[str, str] = {}
        self.idle_since = owner.tick
        self._loop = loop
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
        self._phase = IDLE
        self._body: list[bytes] = []
        self._body_bytes = self._head_bytes = self._discarded_bytes = 0
        self._ahead_bytes = _AHEAD_BYTES
        # Whether the connection stays, the client waits for leave to send its body, the body is let
        # go unread, and what was read last was more than the surroundings of a body.
        self._keep = self._expects = self._discards = self._progressed = False
        # Whether the socket is not read, and whether the request's rest has a deadline.
        self._stopped = self._waits = False
        # What is wrong with the request: status and message.
        self._refusal: tuple[int, str] | None = None
        self._reader: asyncio.Future[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        raise NotImplementedError

    # What the application calls.

    async def read(self) -> bytes:
        """Return what has arrived of the body, waiting for some; empty at its end."""
        while not self._body:
            if self._phase == WHOLE:
                return b""
            await self._wait_for_body()
        return self._take_body()

    def take_whole(self, limit: int) -> bytes | None:
        """Return the body, if all of it is there and it has at most `limit` bytes."""
        if self._phase != WHOLE or self._body_bytes > limit:
            return None
        return self._take_body()

    async def read_whole(self, limit: int, arriving: Callable[[int], None]) -> bytes:
        """Return the body.

        Args:
            limit: Its longest length.
            arriving: Told how many bytes of it are there by now, whenever some have come.

        Raises:
            BodyTooLong: It has more than `limit` bytes.
        """
        if self._phase != WHOLE:
            self._ahead_bytes = limit
            self._read_on()
        while self._phase != WHOLE and self._body_bytes <= limit:
            await self._wait_for_body()
            arriving(self._body_bytes)
        if self._body_bytes > limit:
            raise BodyTooLong
        return self._take_body()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports do not derive from asyncio's.
        self._transport = made = cast("asyncio.Transport", transport)
        made.set_write_buffer_limits(high=_HELD_BYTES)
        if not self._owner.opened(self):
            made.abort()

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
        if not self._waits and self._phase in (HEAD, BODY):
            self._waits = True
            self._owner.await_rest(self)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def eof_received(self) -> None:
        """Close: who sends no more is taken for gone."""

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Take the next request, but none before the last one is answered."""
        if self._phase != IDLE or self.busy:
            self._refusal = 400, "A request came before the last one was answered."
            raise HttpParserError
        self._phase = HEAD
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
        self._phase = BODY
        self._progressed = True
        self._ahead_bytes = _AHEAD_BYTES
        self._check_head(headers, size)
        self._expects = headers.get("expect", "").lower() == "100-continue"
        self._take_up()

    def on_body(self, data: bytes) -> None:
        """Keep a part of the body."""
        self._progressed = True
        if self._discards:
            self._discarded_bytes += len(data)
            self._note_discarded()
            return
        self._body.append(data)
        self._body_bytes += len(data)
        if self._body_bytes > self._ahead_bytes and not self._stopped and self._transport:
            self._stopped = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        self._progressed = True
        self._phase = WHOLE
        if self._waits:
            self._waits = False
            self._owner.got_rest(self)
        if self._discards:
            self._end_discarding()

    def abort(self) -> None:
        """Close at once; whatever is under way is cancelled."""
        if self._transport is not None:
            self._transport.abort()

    # What `connection.py` adds.

    def expire(self) -> None:
        """Give up on a request that does not arrive."""
        raise NotImplementedError

    def close_if_idle(self) -> None:
        """Close, unless a request is under way; what is answered then closes after its answer."""
        raise NotImplementedError

    def _take_up(self) -> None:
        """Answer the request whose head is there."""
        raise NotImplementedError

    def _reject(self) -> None:
        """Close on what is no request; `_refusal` says why, where anything is known."""
        raise NotImplementedError

    def _note_discarded(self) -> None:
        """Note that a part of a body was let go."""
        raise NotImplementedError

    def _end_discarding(self) -> None:
        """Note that all of it was."""
        raise NotImplementedError

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

    def _become_idle(self) -> None:
        self._phase = IDLE
        self._discards = False
        self._head_bytes = self._discarded_bytes = 0
        self.idle_since = self._owner.tick

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
