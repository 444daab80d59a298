"""Opens connections to providers and keeps them between requests.

Used by `client.py`. The connection used last is reused first, so that the others can expire.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from aiohappyeyeballs import AddrInfoType, start_connection

from modelplane.adapters.providers.errors import (
    AdapterError,
    ProviderTimeout,
    ProviderUnavailable,
    RequestRefused,
)
from modelplane.adapters.providers.http1.connection import Connection
from modelplane.adapters.providers.http1.request import Origin
from modelplane.adapters.shared.tls import client_context

_CONNECT_SECONDS = 10.0
# Pause before the next address of a host is tried beside the first (RFC 8305).
_NEXT_ADDRESS_SECONDS = 0.25
# Long enough to be reused under steady load, shorter than what most servers keep.
_IDLE_SECONDS = 15.0
# Whether a connection to a host may be opened at one of its addresses.
Leave: TypeAlias = Callable[[str, str], bool]


class ConnectionPool:
    """Connections by origin. It belongs to the event loop in which it was made."""

    def __init__(self, tls: ssl.SSLContext, leave: Leave | None) -> None:
        """Start empty.

        Args:
            tls: Whom to trust.
            leave: Asked about every address of an origin that is not trusted; None allows all.
        """
        self._tls = tls
        self._leave = leave
        self._loop = asyncio.get_running_loop()
        self._idle: dict[Origin, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._expiry: asyncio.TimerHandle | None = None
        self._closed = False
        self._emptied = asyncio.Event()

    def take(self, origin: Origin) -> Connection | None:
        """Return an idle connection, the caller's from now on; None where there is none."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.usable and self._loop.time() - connection.idle_since < _IDLE_SECONDS:
                return connection
            connection.abort()
        return None

    def give_back(self, connection: Connection) -> None:
        """Keep a connection after an exchange, when it is still good for another."""
        if not connection.release():
            return
        if self._closed:
            connection.abort()
            return
        self._idle.setdefault(connection.origin, []).append(connection)
        if self._expiry is None:
            self._expiry = self._loop.call_later(_IDLE_SECONDS, self._expire)

    async def open(self, origin: Origin, provider: str) -> Connection:
        """Return a new connection.

        Raises:
            AdapterError: `provider` cannot be reached.
        """
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                return await self._connect(origin, provider)
        except TimeoutError:
            raise ProviderTimeout(provider, "the provider could not be reached in time") from None

    async def aclose(self) -> None:
        """Close every connection, those in use too."""
        self._closed = True
        if self._expiry is not None:
            self._expiry.cancel()
        for connection in list(self._open):
            connection.abort()
        while self._open:
            self._emptied.clear()
            await self._emptied.wait()

    async def _connect(self, origin: Origin, provider: str) -> Connection:
        addresses = await self._resolve(origin, provider)
        try:
            # It connects to the addresses that were checked: a name is not resolved again.
            connected = await start_connection(
                addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, interleave=1
            )
            return await self._attach(connected, origin)
        except OSError as error:
            raise _unreachable(provider, error) from error

    async def _resolve(self, origin: Origin, provider: str) -> Sequence[AddrInfoType]:
        try:
            addresses = await self._loop.getaddrinfo(
                origin.host, origin.port, type=socket.SOCK_STREAM
            )
        except OSError as error:
            raise ProviderUnavailable(
                provider, "the provider's host name could not be resolved"
            ) from error
        if self._leave is None or origin.trusted:
            return addresses
        for *_, address in addresses:
            # One bad address among good ones is how a name is made to lead inside.
            if not self._leave(origin.host, str(address[0])):
                raise RequestRefused(
                    provider,
                    "the gateway may not connect to this host: see MODELPLANE_ALLOWED_UPSTREAMS",
                )
        return addresses

    async def _attach(self, connected: socket.socket, origin: Origin) -> Connection:
        secure = origin.scheme == "https"
        try:
            _, connection = await self._loop.create_connection(
                lambda: Connection(origin, self._loop, self._forget),
                sock=connected,
                ssl=self._tls if secure else None,
                server_hostname=origin.host if secure else None,
            )
        except BaseException:
            connected.close()
            raise
        if self._closed or not connection.usable:
            connection.abort()
            raise ConnectionResetError
        self._open.add(connection)
        return connection

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        if not self._open:
            self._emptied.set()
        idle = self._idle.get(connection.origin, [])
        if connection in idle:
            idle.remove(connection)

    def _expire(self) -> None:
        now = self._loop.time()
        self._expiry = None
        for connection in list(self._all_idle()):
            if now - connection.idle_since >= _IDLE_SECONDS:
                self._idle[connection.origin].remove(connection)
                connection.abort()
        self._idle = {origin: idle for origin, idle in self._idle.items() if idle}
        oldest = min((connection.idle_since for connection in self._all_idle()), default=None)
        if oldest is not None:
            self._expiry = self._loop.call_at(oldest + _IDLE_SECONDS, self._expire)

    def _all_idle(self) -> Iterator[Connection]:
        return (connection for idle in self._idle.values() for connection in idle)


def client_tls() -> ssl.SSLContext:
    """Return what trusts the system's authorities, or those that SSL_CERT_FILE names."""
    context = client_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _unreachable(provider: str, error: OSError) -> AdapterError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return ProviderUnavailable(provider, "the provider's TLS certificate was not accepted")
    if isinstance(error, ssl.SSLError):
        return ProviderUnavailable(provider, "no TLS connection to the provider could be made")
    return ProviderUnavailable(provider, "the provider could not be reached")
