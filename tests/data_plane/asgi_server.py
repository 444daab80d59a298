"""Serves an ASGI application over HTTP/2 in the test's loop, as the module in Envoy does.

The server is hypercorn. It differs from pyvoy in this:
- headers never end the stream, so it cannot say "Trailers-Only" (see `_with_trailers`);
- what it cannot parse never reaches the application, and what it refuses is not shaped by Envoy.
`tests/deploy/envoy/test_embedded.py` runs the same application in pyvoy.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from hypercorn.asyncio import serve
from hypercorn.config import Config

Event: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
Application: TypeAlias = Callable[[Event, Receive, Send], Awaitable[None]]


@asynccontextmanager
async def serving(application: Application) -> AsyncIterator[int]:
    """Serve on a loopback port, yield it, and cut what is in flight on leaving."""

    async def serve_one(scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await application(scope, receive, _with_trailers(send))

    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.graceful_timeout = 0.1
    # Else an idle connection is closed in the middle of a slow test.
    config.keep_alive_timeout = 3600
    config.errorlog = None
    stop = asyncio.Event()
    running = asyncio.ensure_future(serve(serve_one, config, shutdown_trigger=stop.wait))  # type: ignore[arg-type]
    try:
        yield port
    finally:
        stop.set()
        await running


def _with_trailers(send: Send) -> Send:
    """Send a status in trailers that stands in headers, for a server that leaves those open."""
    trailers: list[tuple[bytes, bytes]] = []

    async def forward(event: Event) -> None:
        if event["type"] == "http.response.start" and not event["trailers"]:
            trailers.extend(pair for pair in event["headers"] if pair[0] != b"content-type")
            headers = [pair for pair in event["headers"] if pair[0] == b"content-type"]
            event = {**event, "headers": headers, "trailers": True}
        await send(event)
        if trailers and event["type"] == "http.response.body":
            await send({"type": "http.response.trailers", "headers": trailers})

    return forward
