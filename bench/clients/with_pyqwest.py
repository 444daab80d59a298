"""pyqwest over its own transport, reqwest of Rust: https://pyqwest.dev/.

`with_pyvoy.py` is the same client over Envoy.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

from pyqwest import Client as Pyqwest
from pyqwest import Headers, HTTPTransport, Request, Transport

from bench.clients.client import (
    DEADLINE_SECONDS,
    Client,
    Guard,
    check_status,
    trusted_authorities,
)

_IDLE_CONNECTIONS = 1000


class PyqwestClient:
    """Sends over one transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._client = Pyqwest(transport)

    async def whole(self, url: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """Return the body of the answer."""
        answer = await self._client.post(url, headers, body)
        check_status(answer.status)
        return answer.content

    async def stream(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncGenerator[bytes, None]:
        """Yield the body of the answer as it comes."""
        request = Request("POST", url, Headers(headers.items()), body)
        async with await self._transport.execute(request) as response:
            check_status(response.status)
            async for chunk in response.content:
                yield bytes(chunk)


@asynccontextmanager
async def connected(_guard: Guard) -> AsyncIterator[Client]:
    """Yield the client; it does not ask about addresses."""
    async with HTTPTransport(
        tls_ca_cert=trusted_authorities(),
        timeout=DEADLINE_SECONDS,
        pool_max_idle_per_host=_IDLE_CONNECTIONS,
        enable_gzip=False,
        enable_brotli=False,
        enable_zstd=False,
        follow_redirects=False,
        enable_otel=False,
        use_system_dns=True,
    ) as transport:
        yield PyqwestClient(transport)
