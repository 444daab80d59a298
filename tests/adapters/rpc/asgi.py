"""The server's side of one ASGI exchange, event by event."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any


def headers(**extra: str) -> list[tuple[bytes, bytes]]:
    given = {"content-type": "application/grpc", "te": "trailers"}
    given |= {name.replace("_", "-"): value for name, value in extra.items()}
    return [(name.encode(), value.encode()) for name, value in given.items()]


class Exchange:
    """Sends the parts of a request and keeps the events of the answer."""

    def __init__(
        self,
        path: str,
        request_headers: list[tuple[bytes, bytes]],
        parts: Sequence[bytes],
        *,
        ends: bool = True,
    ) -> None:
        self.events: list[dict[str, Any]] = []
        # Cleared while the transport takes no more.
        self.room = asyncio.Event()
        self.room.set()
        self._scope = {"type": "http", "path": path, "headers": request_headers}
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for index, part in enumerate(parts):
            more = not ends or index < len(parts) - 1
            self._queue.put_nowait({"type": "http.request", "body": part, "more_body": more})
        self._changed = asyncio.Event()

    async def run(self, app: Callable[..., Any]) -> None:
        await app(self._scope, self._queue.get, self._send)

    def leave(self) -> None:
        """Let the caller go away."""
        self._queue.put_nowait({"type": "http.disconnect"})

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    @property
    def status(self) -> int:
        return int(self.events[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return _text(self.events[0]["headers"])

    @property
    def body(self) -> bytes:
        parts = [event for event in self.events if event["type"] == "http.response.body"]
        return b"".join(event["body"] for event in parts)

    @property
    def trailers(self) -> dict[str, str]:
        last = self.events[-1]
        found = _text(last["headers"]) if last["type"] == "http.response.trailers" else {}
        assert bool(found) == self.events[0]["trailers"] or not found
        return found

    async def _send(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self._changed.set()
        await self.room.wait()


def _text(pairs: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in pairs}
