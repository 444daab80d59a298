"""Our own client, `adapters/providers/http1`."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

from bench.clients.client import Client, Guard, check_status
from modelplane.adapters.providers.http1.client import Http1Transport
from modelplane.adapters.providers.types import HttpRequest

_PROVIDER = "mock"


class _Own:
    def __init__(self, transport: Http1Transport) -> None:
        self._transport = transport

    async def whole(self, url: str, headers: Mapping[str, str], body: bytes) -> bytes:
        response = await self._transport.send(HttpRequest(_PROVIDER, url, headers, body))
        try:
            check_status(response.status)
            return await response.body()
        finally:
            response.close()

    async def stream(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncGenerator[bytes, None]:
        response = await self._transport.send(HttpRequest(_PROVIDER, url, headers, body))
        try:
            check_status(response.status)
            while chunk := await response.read():
                yield chunk
        finally:
            response.close()


@asynccontextmanager
async def connected(guard: Guard) -> AsyncIterator[Client]:
    """Yield the client."""
    async with Http1Transport(leave=lambda _host, address: guard(address)) as transport:
        yield _Own(transport)
