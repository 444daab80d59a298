"""Closed-loop load over real connections."""

import asyncio

from bench.http_client import build_request
from bench.load import run_load
from bench.mock_provider import MockProvider, StreamShape


async def test_streams_are_counted_with_their_chunks() -> None:
    body = {"model": "m", "stream": True}
    async with MockProvider(StreamShape(chunks=5)) as provider:
        message = build_request("POST", provider.url, {}, body)
        result = await run_load(provider.url, message, 2, 0.02)
    assert result.failures == 0
    # The last event of a stream is `[DONE]`.
    assert result.events == result.requests * 6 > 0


async def test_a_connection_that_is_closed_amid_a_request_fails_once_and_is_opened_again() -> None:
    accepted = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        first = accepted == 1
        while await reader.read(1000):
            if first:
                break
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        result = await run_load(url, build_request("GET", url), 1, 0.02)
    assert accepted == 2
    assert result.failures == 1
    assert result.requests > 0
