"""The application for a closer look at a client: its calls can be held, cancelled and refused.

pyvoy loads it as `bench.clients.probed:CLIENT`; `behaviour.py` sends to it:

- `/whole` and `/stream` call the URL in `x-target`, within `x-within` seconds where it is given,
  and answer with what became of it. With `x-hold` they answer after `/release` only; a stream then
  also waits after its first chunk when it has `x-pause`.
- `/received` answers once a stream has its first chunk; `/cancel` cancels calls and answers when
  they have ended; `/refuse` lets no address be connected to from then on.
"""

import asyncio
from contextlib import aclosing

from bench.clients.application import HEADERS, Application, Event, Receive, Send, body_of, end

ANSWERED = "answered"


class ProbedApplication(Application):
    """Tells what became of one call at a time."""

    def __init__(self, name: str) -> None:
        """Take the client of a name."""
        super().__init__(name)
        self._call: asyncio.Task[None] | None = None
        self._received = asyncio.Event()
        self._released = asyncio.Event()
        self._refuses = False

    async def answer(self, scope: Event, receive: Receive, send: Send) -> None:
        """Take one request."""
        path = scope["path"]
        body = await body_of(receive)
        outcome = ""
        if path in ("/whole", "/stream"):
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            outcome = await self._probe(path, headers, body)
        elif path == "/received":
            await self._received.wait()
        elif path == "/cancel" and self._call is not None:
            self._call.cancel()
            await asyncio.wait({self._call})
        elif path == "/release":
            self._released.set()
        elif path == "/refuse":
            self._refuses = True
        await end(send, outcome.encode())

    def allows(self, _address: str) -> bool:
        """Tell whether the client may connect to an address."""
        return not self._refuses

    async def _probe(self, path: str, headers: dict[str, str], body: bytes) -> str:
        self._received.clear()
        self._released.clear()
        calls = self._stream if path == "/stream" else self._whole
        within = float(headers.get("x-within", "inf"))
        call = asyncio.create_task(calls(headers, body, within))
        self._call = call
        await asyncio.wait({call})
        if "x-hold" in headers:
            await self._released.wait()
        if call.cancelled():
            return "cancelled"
        error = call.exception()
        return f"{type(error).__name__}: {error}" if error else ANSWERED

    async def _whole(self, headers: dict[str, str], body: bytes, within: float) -> None:
        async with asyncio.timeout(within):
            await self.client.whole(headers["x-target"], HEADERS, body)

    async def _stream(self, headers: dict[str, str], body: bytes, within: float) -> None:
        async with (
            asyncio.timeout(within),
            aclosing(self.client.stream(headers["x-target"], HEADERS, body)) as chunks,
        ):
            async for _ in chunks:
                self._received.set()
                if "x-pause" in headers:
                    await self._released.wait()


own = ProbedApplication("own")
aiohttp = ProbedApplication("aiohttp")
pyreqwest = ProbedApplication("pyreqwest")
pyqwest = ProbedApplication("pyqwest")
pyvoy = ProbedApplication("pyvoy")
