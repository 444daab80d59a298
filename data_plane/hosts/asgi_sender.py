"""Sends the response of one request over ASGI, and keeps the caller's pace.

Used by `asgi_host.py` and `rest_host.py`. What is written while the server still has the part
before leaves together with what follows, in one event: a stream is not held up by the round trip
that each event takes through Envoy, and pays for one only as often as Envoy can take one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

Event: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

# A caller who reads slowly holds up whoever writes once so much waits.
_MOST_HELD_BYTES = 64 * 1024


class Sender:
    """The response of one request.

    Attributes:
        sent: Number of parts written.
        left: Whether the caller is known to be gone.
    """

    __slots__ = (
        "_held",
        "_held_bytes",
        "_is_queued",
        "_room",
        "_send",
        "_under_way",
        "left",
        "sent",
    )

    def __init__(self, send: Send) -> None:
        self._send = send
        self.sent = 0
        self.left = False
        # What the server has not yet said that it took; None: nothing.
        self._under_way: asyncio.Future[None] | None = None
        # Whether that waits for its turn in the event loop, so that what follows must wait, too.
        self._is_queued = False
        self._held: list[bytes] = []
        self._held_bytes = 0
        # Set when the server takes more; None: nobody waits.
        self._room: asyncio.Future[None] | None = None

    async def start(self, headers: Headers, *, trailers: bool, status: int = 200) -> None:
        """Begin; headers leave with the first part."""
        event = {
            "type": "http.response.start",
            "status": status,
            "headers": headers,
            "trailers": trailers,
        }
        try:
            await self._send(event)
        except OSError:
            self._note_left()
            raise asyncio.CancelledError from None

    async def write(self, data: bytes) -> None:
        """Send a part of the body; returns when there is room for more.

        Raises:
            CancelledError: The caller is gone.
        """
        if self.left:
            raise asyncio.CancelledError
        self.sent += 1
        if self._under_way is None:
            self._pass(data)
            return
        self._held.append(data)
        self._held_bytes += len(data)
        while self._held_bytes > _MOST_HELD_BYTES:
            await self._wait()
        if self.left:
            raise asyncio.CancelledError

    async def end(self, data: bytes = b"", trailers: Headers | None = None) -> None:
        """Send the last part, and trailers if the start has announced them.

        Raises:
            OSError: The caller is gone.
        """
        while self._is_queued and self._under_way is not None:
            await self._wait()
        if self.left:
            raise ConnectionResetError
        if self._held:
            data = b"".join((*self._held, data))
            self._held = []
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
        if trailers is not None:
            await self._send({"type": "http.response.trailers", "headers": trailers})

    def _pass(self, data: bytes) -> None:
        taken = self._send({"type": "http.response.body", "body": data, "more_body": True})
        # pyvoy has the part once it was called; other servers when their coroutine runs.
        self._is_queued = not asyncio.isfuture(taken)
        self._under_way = under_way = asyncio.ensure_future(taken)
        under_way.add_done_callback(self._passed)

    def _passed(self, taken: "asyncio.Future[None]") -> None:
        self._under_way = None
        if taken.cancelled() or taken.exception() is not None:
            self._note_left()
        elif self._held:
            data = b"".join(self._held)
            self._held = []
            self._held_bytes = 0
            self._pass(data)
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _note_left(self) -> None:
        self.left = True
        self._held = []
        self._held_bytes = 0

    async def _wait(self) -> None:
        """Wait until the server has taken what is under way."""
        self._room = asyncio.get_running_loop().create_future()
        try:
            await self._room
        finally:
            self._room = None
