"""What attackers send: requests that never end, and HTTP/2 streams by the hundred."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.hostile.stage import MIB, Stage
from tests.http2 import Http2

# An empty message of a gRPC call.
EMPTY_MESSAGE = b"\0\0\0\0\0"
_BLOCK = b"x" * MIB


def grpc_headers(path: str, token: str = "") -> list[tuple[str, str]]:
    """Return the headers of a gRPC call."""
    headers = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", path)]
    headers += [("content-type", "application/grpc"), ("te", "trailers")]
    return [*headers, *([("authorization", f"Bearer {token}")] if token else [])]


def rest_headers(path: str, token: str = "") -> list[tuple[str, str]]:
    """Return the headers of a POST of JSON."""
    headers = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", path)]
    headers += [("content-type", "application/json")]
    return [*headers, *([("authorization", f"Bearer {token}")] if token else [])]


async def hold_body(
    stage: Stage, path: str, mebibytes: int, *, token: str = "", prefix: bytes = b""
) -> bytes:
    """Send a body over HTTP/1.1 that lacks its last byte, and wait for the end of the connection.

    Args:
        stage: What is attacked.
        path: Where to.
        mebibytes: Size of the body.
        token: Credential; empty: none.
        prefix: What the body begins with.

    Returns:
        What was answered.
    """
    reader, writer = await asyncio.open_connection(stage.host, stage.port)
    credential = f"authorization: Bearer {token}\r\n" if token else ""
    writer.write(
        f"POST {path} HTTP/1.1\r\nhost: a\r\n{credential}content-type: application/json\r\n"
        f"content-length: {mebibytes * MIB}\r\n\r\n".encode()
    )

    async def send() -> None:
        writer.write(prefix)
        for _ in range(mebibytes - 1):
            writer.write(_BLOCK)
            await writer.drain()
        writer.write(_BLOCK[: -1 - len(prefix)])
        await writer.drain()

    sending = asyncio.ensure_future(send())
    try:
        return await reader.read()
    except OSError:
        return b""
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()


@contextlib.asynccontextmanager
async def http2_connections(stage: Stage, count: int) -> AsyncIterator[list[Http2]]:
    """Open connections, and close them on leaving."""
    opened = [await Http2.open(stage.host, stage.port) for _ in range(count)]
    try:
        yield opened
    finally:
        for connection in opened:
            await connection.close()
