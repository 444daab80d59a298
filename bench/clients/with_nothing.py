"""Calls nobody: what the application and Envoy cost by themselves."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

from bench.clients.client import Client, Guard

CHUNKS = 50
INTERVAL_SECONDS = 0.01
_ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"mock",'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"mock"},'
    b'"logprobs":null,"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}}'
)
_CHUNK = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"mock","choices":[{"index":0,"delta":{"content":"mock"},"finish_reason":null}]}\n\n'
)


class _Nothing:
    async def whole(self, _url: str, _headers: Mapping[str, str], _body: bytes) -> bytes:
        return _ANSWER

    async def stream(
        self, _url: str, _headers: Mapping[str, str], _body: bytes
    ) -> AsyncGenerator[bytes, None]:
        for _ in range(CHUNKS):
            yield _CHUNK
            await asyncio.sleep(INTERVAL_SECONDS)


@asynccontextmanager
async def connected(_guard: Guard) -> AsyncIterator[Client]:
    """Yield the client."""
    yield _Nothing()
