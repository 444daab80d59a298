"""aiohttp: https://docs.aiohttp.org/en/stable/client_reference.html."""

import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import (
    AddrInfoType,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)

from bench.clients.client import DEADLINE_SECONDS, Client, Guard, check_status


class _Aiohttp:
    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def whole(self, url: str, headers: Mapping[str, str], body: bytes) -> bytes:
        async with self._session.post(url, headers=headers, data=body) as response:
            check_status(response.status)
            return await response.read()

    async def stream(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncGenerator[bytes, None]:
        async with self._session.post(url, headers=headers, data=body) as response:
            check_status(response.status)
            while chunk := await response.content.readany():
                yield chunk


@asynccontextmanager
async def connected(guard: Guard) -> AsyncIterator[Client]:
    """Yield the client."""

    def open_socket(address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, place = address
        if not guard(str(place[0])):
            raise OSError("the address is refused")
        return socket.socket(family, kind, protocol)

    connector = TCPConnector(limit=0, socket_factory=open_socket)
    async with ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=DEADLINE_SECONDS),
        auto_decompress=False,
    ) as session:
        yield _Aiohttp(session)
