"""Answers whether this process lives, and whether it is ready, for what may restart it.

Answered in the event loop itself: one that hangs answers nothing. Kubernetes asks so
(`kubernetes/manifests.py`, `deploy/chart`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

_SECONDS = 5.0


@asynccontextmanager
async def answering(address: str, obstacle: Callable[[], str]) -> AsyncIterator[None]:
    """Answer `GET /live` and `GET /ready` meanwhile.

    Args:
        address: `host:port` to listen on; empty: nothing is answered.
        obstacle: Returns what keeps this from being ready; empty: nothing does.

    Raises:
        OSError: It cannot be listened on.
        ValueError: It has no port.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_answer(head.split(b" ", 2), obstacle))
                await writer.drain()
        writer.close()

    if not address:
        yield
        return
    host, _, port = address.rpartition(":")
    server = await asyncio.start_server(answer, host.strip("[]") or None, int(port))
    try:
        yield
    finally:
        server.close()


def _answer(words: list[bytes], obstacle: Callable[[], str]) -> bytes:
    if words[:2] == [b"GET", b"/live"]:
        status, text = b"200 OK", b"ok\n"
    elif words[:2] == [b"GET", b"/ready"]:
        found = obstacle()
        status, text = (
            (b"503 Service Unavailable", f"{found}\n".encode())
            if found
            else (
                b"200 OK",
                b"ok\n",
            )
        )
    else:
        status, text = b"404 Not Found", b"there is /live and /ready\n"
    head = b"HTTP/1.1 %b\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n" % (
        status,
        len(text),
    )
    return head + b"connection: close\r\n\r\n" + text
