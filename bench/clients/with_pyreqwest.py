"""pyreqwest, reqwest of Rust for asyncio: https://github.com/MarkusSintonen/pyreqwest.

It is installed for the benchmark only.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

import pyreqwest.client

from bench.clients.client import (
    DEADLINE_SECONDS,
    Client,
    Guard,
    check_status,
    trusted_authorities,
)


class _Pyreqwest:
    def __init__(self, client: pyreqwest.client.Client) -> None:
        self._client = client

    async def whole(self, url: str, headers: Mapping[str, str], body: bytes) -> bytes:
        request = self._client.post(url).headers(headers).body_bytes(body).build()
        response = await request.send()
        check_status(response.status)
        return bytes(await response.bytes())

    async def stream(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncGenerator[bytes, None]:
        request = self._client.post(url).headers(headers).body_bytes(body)
        # By default 64 KiB are gathered before the first chunk can be read.
        async with request.streamed_read_buffer_limit(0).build_streamed() as response:
            check_status(response.status)
            while chunk := await response.body_reader.read_chunk():
                yield bytes(chunk)


@asynccontextmanager
async def connected(_guard: Guard) -> AsyncIterator[Client]:
    """Yield the client; it does not ask about addresses."""
    builder = pyreqwest.client.ClientBuilder().no_proxy().follow_redirects(enable=False)
    builder = builder.http2(enable=True).timeout(timedelta(seconds=DEADLINE_SECONDS))
    builder = builder.add_root_certificate_pem(trusted_authorities())
    async with builder.build() as client:
        yield _Pyreqwest(client)
