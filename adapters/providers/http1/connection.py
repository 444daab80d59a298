"""One connection that speaks HTTP/1.1 as a client: a request out, its response in, then the next.

`pool.py` asks over it, and keeps it between requests. httptools parses. The body waits in a small
buffer until it is read; when that is full, the socket is read no further.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from modelplane.adapters.providers.http1.coding import is_known
from modelplane.adapters.providers.http1.errors import (
    CodingUnknown,
    ConnectionLost,
    HttpError,
    ResponseInvalid,
)
from modelplane.adapters.providers.http1.request import Origin

MAX_HEAD_BYTES = 32 * 1024
# The buffer may exceed this by one read of the socket.
_BUFFER_BYTES = 64 * 1024
# Below this, one copy costs less than a second buffer in the system call.
_JOINED_BYTES = 16 * 1024
# A server that gave the connection up says so within a round trip; later, it may have worked.
_STALE_SECONDS = 1.0
_SWITCHING_PROTOCOLS = 101
_FIRST_FINAL_STATUS = 200
_BODILESS = frozenset({204, 304})
# How far an exchange is. Plain numbers: a member of an enum takes longer to look up.
_IDLE, _HEAD, _BODY, _ENDED = range(4)


class Connection(asyncio.Protocol):
    """A connection to `origin`.

    Attributes:
        origin: Where it leads.
        idle_since: Loop time since which no request is under way, in seconds.
        status: HTTP status of the response, once its head is there.
        headers: Its headers by name in lower case, as Latin-1; the last of several values wins.
        buffered: How many bytes have arrived of the body and were not taken yet.
    """

    __slots__ = (
        "_asked_at",
        "_chunks",
        "_error",
        "_fields",
        "_heard",
        "_keep",
        "_loop",
        "_lost",
        "_names",
        "_names_sent",
        "_overhead",
        "_parser",
        "_paused",
        "_phase",
        "_progressed",
        "_reused",
        "_stale",
        "_transport",
        "_until_close",
        "_waiter",
        "buffered",
        "headers",
        "idle_since",
        "on_header",
        "origin",
        "status",
    )

    def __init__(
        self,
        origin: Origin,
        loop: asyncio.AbstractEventLoop,
        lost: Callable[["Connection"], None],
    ) -> None:
        """Describe a connection that is to be opened.

        Args:
            origin: Where it leads.
            loop: The loop that serves it.
            lost: Called once when it is closed, by whichever side.
        """
        self.origin = origin
        self.idle_since = 0.0
        self.status = 0
        self.headers: dict[str, str] = {}
        self._loop = loop
        self._lost = lost
        # Of the head that arrives, and then of the trailers, which nobody reads.
        self._fields: dict[bytes, bytes] = {}
        # The parser calls it for each header: a method here would cost as much as all its work.
        self.on_header = self._fields.__setitem__
        # The names in the last head, as they were sent and as they are read: mostly the same again.
        self._names_sent = b""
        self._names = [""]
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._phase = _IDLE
        # No error itself: each knows where it was raised, and so this object.
        self._error: type[HttpError] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._chunks: list[bytes] = []
        self.buffered = 0
        self._overhead = 0
        self._asked_at = 0.0
        self._heard = self._reused = self._stale = self._paused = False
        self._keep = self._until_close = self._progressed = False

    @property
    def usable(self) -> bool:
        """Whether it is open and nothing is under way on it."""
        transport = self._transport
        return self._phase == _IDLE and transport is not None and not transport.is_closing()

    @property
    def ended(self) -> bool:
        """Whether the response has arrived to its end."""
        return self._phase == _ENDED

    def send(self, head: bytes, body: bytes) -> asyncio.Future[None]:
        """Send a request on a usable connection.

        Returns:
            What is done when the head of the response is there, or will not come: `answered` tells.
            Whoever stops waiting for it closes the connection.
        """
        self._phase = _HEAD
        self.headers = {}
        self._heard = self._keep = self._until_close = False
        self._overhead = 0
        self._asked_at = self._loop.time()
        transport = cast("asyncio.Transport", self._transport)
        if len(body) < _JOINED_BYTES:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        return self.arrival()

    def answered(self) -> bool:
        """Return whether the head of the response is there.

        It is not when the server had given up a reused connection before the request came, so that
        it cannot have acted on it.

        Raises:
            HttpError: The server did not answer, or not in HTTP.
        """
        if self._phase == _HEAD and self._error is not None:
            if self._stale:
                return False
            raise self._error()
        return True

    def at_end(self) -> bool:
        """Return whether no more of the body will arrive than what is buffered.

        Raises:
            HttpError: The body broke off.
        """
        if self._phase == _ENDED:
            return True
        if self._error is not None:
            raise self._error()
        return False

    def arrival(self) -> asyncio.Future[None]:
        """Return what is done when something has arrived, or will not.

        Whoever stops waiting for it closes the connection.
        """
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def take(self) -> bytes:
        """Return what has arrived of the body and was not read yet."""
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._forget_body()
        return data

    def release(self) -> bool:
        """End the exchange; return whether the connection can take another one.

        It cannot, and is closed, unless the response has arrived to its very end.
        """
        self._forget_body()
        if self._phase == _ENDED and self._keep:
            self._phase = _IDLE
            self._reused = True
            self.idle_since = self._loop.time()
            if self.usable:
                return True
        self.abort()
        return False

    def abort(self) -> None:
        """Close at once, whatever was still to be sent."""
        self._keep = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; part of `asyncio.Protocol`, as are the next two."""
        # uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End a body that lasts until the end, or fail the exchange."""
        self._transport = None
        # The parser refers back to this object.
        del self._parser
        self._keep = False
        if self._phase == _BODY and self._until_close and exc is None and not self._error:
            self._phase = _ENDED
        elif self._phase in (_HEAD, _BODY) and self._error is None:
            self._stale = self._reused and not self._heard and self._was_just_asked()
            self._error = ConnectionLost
        self._wake()
        self._lost(self)

    def data_received(self, data: bytes) -> None:
        """Parse, then tell whoever waits."""
        if self._phase == _IDLE or self._error is not None:
            # Nobody asked for it, so it could be taken for the answer to the next request.
            self.abort()
            return
        self._heard = True
        self._progressed = False
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._reject()
        else:
            self._limit(len(data))
        if self._phase != _HEAD or self._error is not None:
            self._wake()
        if self.buffered > _BUFFER_BYTES and self._phase == _BODY and self._transport:
            self._paused = True
            self._transport.pause_reading()

    def on_message_begin(self) -> None:
        """Refuse a second response; this and what follows is called by the parser."""
        if self._phase != _HEAD:
            raise HttpParserError
        self._fields.clear()

    def on_headers_complete(self) -> None:
        """Skip an informational response; look how the body of a final one ends."""
        status = self._parser.get_status_code()
        fields = self._fields
        # All at once: no name or value holds a line break.
        names = b"\n".join(fields)
        if names != self._names_sent:
            self._names_sent = names
            self._names = names.decode("latin-1").lower().split("\n")
        values = b"\n".join(fields.values()).decode("latin-1")
        if status == _SWITCHING_PROTOCOLS or len(names) + len(values) > MAX_HEAD_BYTES:
            raise HttpParserError
        if status < _FIRST_FINAL_STATUS:
            return
        self.headers = headers = dict(zip(self._names, values.split("\n"), strict=True))
        transfer = headers.get("transfer-encoding")
        if transfer is not None and transfer.lower() != "chunked":
            raise HttpParserError
        coding = headers.get("content-encoding")
        if coding is not None and not is_known(coding):
            self._error = CodingUnknown
            raise HttpParserError
        self.status = status
        self._keep = self._parser.should_keep_alive()
        framed = transfer is not None or "content-length" in headers or status in _BODILESS
        self._until_close = not framed
        self._phase = _BODY
        self._progressed = True

    def on_body(self, data: bytes) -> None:
        """Keep a part of the body."""
        self._progressed = True
        self._chunks.append(data)
        self.buffered += len(data)

    def on_message_complete(self) -> None:
        """Note the end of the response, unless it was an informational one."""
        if self._phase == _BODY:
            self._phase = _ENDED

    def _limit(self, received: int) -> None:
        """Bound what is neither a whole head nor body: an endless head, endless trailers."""
        self._overhead = 0 if self._progressed else self._overhead + received
        if self._overhead > MAX_HEAD_BYTES:
            self._reject()

    def _reject(self) -> None:
        """Close on what is not HTTP; what came before it stays good when it was complete."""
        if self._phase != _ENDED and self._error is None:
            self._error = ResponseInvalid
        self.abort()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _was_just_asked(self) -> bool:
        return self._loop.time() - self._asked_at < _STALE_SECONDS

    def _forget_body(self) -> None:
        self._chunks = []
        self.buffered = 0
        if self._paused:
            self._paused = False
            if self._transport is not None:
                self._transport.resume_reading()
