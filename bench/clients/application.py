"""The ASGI application in Envoy under load: it answers by calling the provider with one client.

pyvoy loads it as `bench.clients.application:CLIENT`; `envoy.py` starts it, `measurement.py` puts
load on it. `/whole` and `/stream` call the URL in the header `x-target`. `probed.py` is the same
for a closer look.
"""

import importlib
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from typing import Any, TypeAlias

from bench.clients.client import OK, Client, Connect
from modelplane.data_plane.process import tune_garbage_collection

Event: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-mock"}
_EVENTS = [(b"content-type", b"text/event-stream")]


class Application:
    """Answers with what one client gets."""

    def __init__(self, name: str) -> None:
        """Take the client that `with_NAME.py` adapts, which is imported at the start only."""
        self._name = name
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The client, while the application lives."""
        assert self._client is not None
        return self._client

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Take one request, or live."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self.answer(scope, receive, send)

    async def answer(self, scope: Event, receive: Receive, send: Send) -> None:
        """Take one request."""
        url = target_of(scope)
        body = await body_of(receive)
        if scope["path"] == "/stream":
            await send({"type": "http.response.start", "status": OK, "headers": _EVENTS})
            async with aclosing(self.client.stream(url, HEADERS, body)) as chunks:
                async for chunk in chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif scope["path"] == "/whole":
            await end(send, await self.client.whole(url, HEADERS, body))
        else:
            await end(send, b"")

    def allows(self, _address: str) -> bool:
        """Tell whether the client may connect to an address."""
        return True

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        tune_garbage_collection()
        connect: Connect = importlib.import_module(f"bench.clients.with_{self._name}").connected
        async with AsyncExitStack() as stack:
            self._client = await stack.enter_async_context(connect(self.allows))
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


async def end(send: Send, body: bytes) -> None:
    """Answer with a whole body."""
    await send({"type": "http.response.start", "status": OK, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def target_of(scope: Event) -> str:
    """Return the URL to call."""
    return next((value.decode() for name, value in scope["headers"] if name == b"x-target"), "")


async def body_of(receive: Receive) -> bytes:
    """Return the body of the request."""
    parts = []
    more = True
    while more:
        event = await receive()
        parts.append(event.get("body", b""))
        more = event.get("more_body", False)
    return b"".join(parts)


nothing = Application("nothing")
own = Application("own")
aiohttp = Application("aiohttp")
pyreqwest = Application("pyreqwest")
pyqwest = Application("pyqwest")
pyvoy = Application("pyvoy")
