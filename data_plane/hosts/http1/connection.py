"""One connection of a server of HTTP/1.1: a request in, its answer out, then the next.

`incoming.py` has the requests, an application answers them, `listener.py` makes connections and
bounds them. A request that comes in one piece, as almost all do, costs one read, one task and one
write.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import orjson

from modelplane.data_plane.hosts.http1.head import encode_fields, status_line
from modelplane.data_plane.hosts.http1.incoming import BODY, IDLE, WHOLE, Incoming, Owner

# Below this, one copy costs less than a second buffer in the system call.
_JOINED_BYTES = 16 * 1024
# An answer that comes before the body waits for so much of it: who is cut off while they send would
# not read why.
_PATIENCE_BYTES = 1024 * 1024
_CLOSE = b"connection: close\r\n"
_CHUNKED = b"transfer-encoding: chunked\r\n"
_JSON = encode_fields((("content-type", "application/json"),))
_OK = 200
_TOO_SLOW = 408


class Connection(Incoming):
    """One connection, and the answer that goes out over it."""

    __slots__ = ("_application", "_begun", "_early", "_head", "_room", "_task")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, application: "Application", owner: Owner
    ) -> None:
        super().__init__(loop, owner)
        self._application = application
        self._task: asyncio.Task[None] | None = None
        # The head of an answer, until its first part leaves with it.
        self._head = b""
        self._begun = False
        # A whole answer that waits for the end of its request.
        self._early: tuple[bytes, bytes] | None = None
        self._room: asyncio.Future[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._task is not None or self._early is not None

    @property
    def idle(self) -> bool:
        """Whether no request has begun."""
        return self._phase == IDLE and not self.busy

    # What the application calls.

    def respond(self, status: int, fields: bytes, body: bytes) -> None:
        """Answer with a whole body."""
        line, close, length = status_line(status), self._close_field(), len(body)
        head = b"%b%b%bcontent-length: %d\r\n\r\n" % (line, fields, close, length)
        if self.method == b"HEAD":
            body = b""
        if self._phase == BODY and not close:
            self._early = head, body
            self._end_answer()
            self._note_discarded()
            return
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
            return
        self._send_early()
        self.abort()

    def close_if_idle(self) -> None:
        """Close, unless a request is under way; what is answered then closes after its answer."""
        if self.idle and self._transport is not None:
            self._transport.close()

    # What the event loop calls.

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel what is under way: its caller is gone."""
        del exc
        self._transport = None
        # The parser refers back to this object.
        del self._parser
        task, self._task = self._task, None
        self._early = None
        self._owner.closed(self)
        if task is not None:
            task.cancel()
        self.resume_writing()

    def pause_writing(self) -> None:
        """Let whoever writes wait."""
        if self._room is None:
            self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let them go on."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    # What the requests call.

    def _take_up(self) -> None:
        self._begun = False
        self._task = self._loop.create_task(self._application(self))

    def _note_discarded(self) -> None:
        length = self.headers.get("content-length", "0")
        # The parser has seen that it is a number.
        if max(self._discarded_bytes, int(length)) > _PATIENCE_BYTES:
            self._send_early()

    def _end_discarding(self) -> None:
        self._send_early()
        transport = self._transport
        if self._close_field() and transport is not None:
            transport.close()
        else:
            self._become_idle()

    def _reject(self) -> None:
        """Close on what is no request; an answer under way goes out first."""
        status, message = self._refusal = self._refusal or (400, "The request is not valid HTTP.")
        self._keep = False
        if self._task is not None and self._phase == WHOLE:
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
        elif self._phase == WHOLE:
            self._become_idle()
        else:
            # Who is answered before the body was read may go on sending it.
            self._discards = True

    def _close_field(self) -> bytes:
        """Return the header that says that the connection closes; empty: it stays."""
        # Who was not told to send the body may not send it.
        waits_for_leave = self._expects and self._phase != WHOLE
        keep = self._keep and not waits_for_leave and not self._owner.draining
        return b"" if keep else _CLOSE

    def _send_early(self) -> None:
        early, self._early = self._early, None
        if early is not None:
            self._write(*early)

    def _write(self, *parts: bytes) -> None:
        transport = self._transport
        if transport is None:
            raise asyncio.CancelledError
        if sum(map(len, parts)) < _JOINED_BYTES:
            transport.write(b"".join(parts))
        else:
            transport.writelines(parts)


Application: TypeAlias = Callable[[Connection], Coroutine[Any, Any, None]]
