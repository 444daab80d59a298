"""The benchmark's watch stream is understood by a real server of gRPC, and understands it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from bench.watch_stream import WatchStream

_SERVICE, _METHOD = "bench.Echo", "Watch"
# One that comes in one frame, one that comes in many, and none at all.
_MESSAGES = (b"first", bytes(range(256)) * 2_000, b"")


async def _echo(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> object:  # type: ignore[type-arg]
    async for request in requests:
        if request == b"refuse":
            await context.abort(grpc.StatusCode.ABORTED, "no")
        for message in _MESSAGES:
            yield request + message


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = grpc.aio.server()
    handlers: dict[str, Any] = {_METHOD: grpc.stream_stream_rpc_method_handler(_echo)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(_SERVICE, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield port
    await server.stop(0)


async def test_messages_come_whole_and_a_refusal_ends_the_stream(port: int) -> None:
    came: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    _, stream = await loop.create_connection(
        lambda: WatchStream(lambda _, message: came.put_nowait(message), f"/{_SERVICE}/{_METHOD}"),
        "127.0.0.1",
        port,
    )
    async with asyncio.timeout(60):
        for request in (b"a", b"b"):
            stream.send(request)
            for message in _MESSAGES:
                assert await came.get() == request + message
        stream.send(b"refuse")
        with pytest.raises(ConnectionError, match="ended the stream"):
            await stream.closed
    stream.close()
