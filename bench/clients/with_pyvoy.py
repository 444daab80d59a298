"""pyvoy's client: pyqwest over Envoy's own connections to its upstream clusters.

https://github.com/curioswitch/pyvoy/blob/main/docs/http-client.md. A cluster is called by the
host and port of its URL (`envoy.py`).
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from urllib.parse import urlsplit

from pyvoy.asgi.httpclient import HTTPTransport

from bench.clients.client import DEADLINE_SECONDS, Client, Guard
from bench.clients.with_pyqwest import PyqwestClient


class _Pyvoy:
    def whole(self, url: str, headers: Mapping[str, str], body: bytes) -> Awaitable[bytes]:
        return _client_of(url).whole(url, headers, body)

    def stream(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncGenerator[bytes, None]:
        return _client_of(url).stream(url, headers, body)


@cache
def _client_of(url: str) -> PyqwestClient:
    transport = HTTPTransport(urlsplit(url).netloc, timeout=DEADLINE_SECONDS)
    return PyqwestClient(transport)


@asynccontextmanager
async def connected(_guard: Guard) -> AsyncIterator[Client]:
    """Yield the client; Envoy does not ask about addresses."""
    yield _Pyvoy()
