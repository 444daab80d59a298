"""Answers whether this process lives and is ready, for what may restart it, and its metrics.

Answered in the event loop itself: one that hangs answers nothing. Kubernetes asks so
(`kubernetes/manifests.py`, `deploy/chart`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

_SECONDS = 5.0


@asynccontextmanager
async def answering(
    address: str, obstacle: Callable[[], str], metrics: Callable[[], bytes]
) -> AsyncIterator[None]:
    """Answer `GET /live`, `GET /ready` and `GET /metrics` meanwhile.

    Args:
        address: `host:port` to listen on; empty: nothing is answered.
        obstacle: Returns what keeps this from being ready; empty: nothing does.
        metrics: Returns the page of metrics.

    Raises:
        OSError: It cannot be listened on.
        ValueError: It has no port.
    """
    tasks: set[asyncio.Task[None] | None] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(task := asyncio.current_task())
        try:
            with suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
                async with asyncio.timeout(_SECONDS):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(_answer(head.split(b" ", 2), obstacle, metrics))
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
            tasks.discard(task)

    if not address:
        yield
        return
    host, _, port = address.rpartition(":")
    server = await asyncio.start_server(answer, host.strip("[]") or None, int(port))
    try:
        yield
    finally:
        server.close()
        # Nobody's connection outlives this.
        asked = [task for task in tasks if task is not None]
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


def _answer(words: list[bytes], obstacle: Callable[[], str], metrics: Callable[[], bytes]) -> bytes:
    match words[:2]:
        case [b"GET", b"/live"]:
            return _said(b"200 OK", b"ok\n")
        case [b"GET", b"/ready"]:
            if found := obstacle():
                return _said(b"503 Service Unavailable", f"{found}\n".encode())
            return _said(b"200 OK", b"ok\n")
        case [b"GET", b"/metrics"]:
            return _said(b"200 OK", metrics(), b"text/plain; version=0.0.4; charset=utf-8")
    return _said(b"404 Not Found", b"there is /live, /ready and /metrics\n")


def _said(status: bytes, text: bytes, kind: bytes = b"text/plain") -> bytes:
    head = b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n" % (status, kind, len(text))
    return head + b"connection: close\r\n\r\n" + text
