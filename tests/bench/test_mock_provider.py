"""The mock provider keeps connections alive, and counts what it answers."""

import json
from pathlib import Path

import pytest

from bench.http_client import HttpConnection, build_request
from bench.mock_provider import Counts, MockProvider, StreamShape
from bench.provider import running_provider


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("size", [10, 100_000])
async def test_one_connection_carries_request_after_request(*, stream: bool, size: int) -> None:
    messages = [{"role": "user", "content": "x" * size}]
    body = {"model": "echoed", "messages": messages, "stream": stream}
    async with MockProvider(StreamShape(chunks=7)) as provider:
        connection = await HttpConnection.open(provider.url)
        message = build_request("POST", f"{provider.url}/v1/chat/completions", body=body)
        answers = [await connection.request(message) for _ in range(3)]
        assert not connection.closed
        await connection.aclose()
    assert {answer.status for answer in answers} == {200}
    for answer in answers:
        if stream:
            assert answer.body.count(b'"content":"echoed"') == 6
            assert answer.body.endswith(b"data: [DONE]\n\n")
        else:
            assert json.loads(answer.body)["model"] == "echoed"
    assert provider.counts == Counts(connections=1, requests=3, chunks=21 if stream else 0)


async def test_a_provider_in_a_process_of_its_own_tells_its_counts(tmp_path: Path) -> None:
    async with running_provider(tmp_path, StreamShape(chunks=3)) as provider:
        before = await provider.counts()
        connection = await HttpConnection.open(provider.url)
        await connection.request(build_request("POST", provider.url, body={"stream": True}))
        await connection.aclose()
        # The connection that asks is one more.
        assert await provider.counts() - before == Counts(connections=2, requests=1, chunks=3)
