"""Asks servers over connections that it opens, and keeps between requests.

Used by `http/client.py`. The connection used last is reused first, so that the others can expire.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from aiohappyeyeballs import AddrInfoType, start_connection

from modelplane.adapters.providers.http1.connection import Connection
from modelplane.adapters.providers.http1.errors import (
    AddressRefused,
    CertificateRefused,
    ConnectFailed,
    ConnectTimedOut,
    NoFileLeft,
    TlsFailed,
)
from modelplane.adapters.providers.http1.request import Origin
from modelplane.adapters.providers.http1.resolver import Resolver
from modelplane.adapters.shared.tls import client_context

_CONNECT_SECONDS = 10.0
# Pause before the next address of a host is tried beside the first (RFC 8305).
_NEXT_ADDRESS_SECONDS = 0.25
# Long enough to be reused under steady load, shorter than what most servers keep.
_IDLE_SECONDS = 15.0
_NO_FILE_LEFT = (errno.EMFILE, errno.ENFILE)
# Whether a connection to a host may be opened at one of its addresses.
AddressFilter: TypeAlias = Callable[[str, str, int], bool]


class ConnectionPool:
    """Connections by origin. It belongs to the event loop in which it was made."""

    def __init__(
        self,
        tls: ssl.SSLContext,
        allows: AddressFilter | None,
        resolver: Resolver,
        relieve: Callable[[], None] = lambda: None,
    ) -> None:
        """Start empty.

        Args:
            tls: Whom to trust.
            allows: Asked about every address of an origin that is not trusted; None: all are.
            resolver: Looks up host names.
            relieve: Called where no file is left for a connection; may close others'.
        """
        self._tls = tls
        self._allows = allows
        self._loop = asyncio.get_running_loop()
        self._idle: dict[Origin, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._expiry: asyncio.TimerHandle | None = None
        self._closed = False
        self._emptied = asyncio.Event()
        self._resolver = resolver
        self._relieve = relieve

    async def ask(
        self,
        origin: Origin,
        head: bytes,
        body: bytes,
        stale: Callable[[], None],
        owner: str = "",
    ) -> Connection:
        """Send a request; return the connection on which the head of its response has arrived.

        A kept connection may have been given up by the server while the request was on its way.
        Such a request is sent once more, over a new connection, also when it is a POST: the
        connection closed right after the write and without a byte, which is what RFC 9112, 9.3.1
        lets a client take for a request that was not acted on. Anything else is not repeated, and
        nothing is more than once: a new connection cannot have been kept too long.

        Args:
            origin: Whom to send it to.
            head: Its head.
            body: Its body.
            stale: Called where it is sent once more.
            owner: For whom a host name is looked up; see `Resolver`.

        Raises:
            HttpError: There is no response.
        """
        connection = self._take(origin)
        while True:
            if connection is None:
                connection = await self._connect(origin, owner)
            try:
                await connection.send(head, body)
                if connection.answered():
                    return connection
            except BaseException:
                connection.abort()
                raise
            connection = None
            stale()

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
        await self._resolver.aclose()

    def _take(self, origin: Origin) -> Connection | None:
        """Return an idle connection, the caller's from now on; None where there is none."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.usable and self._loop.time() - connection.idle_since < _IDLE_SECONDS:
                return connection
            connection.abort()
        return None

    async def _connect(self, origin: Origin, owner: str) -> Connection:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                return await self._reach(origin, owner)
        except TimeoutError:
            raise ConnectTimedOut from None

    async def _reach(self, origin: Origin, owner: str) -> Connection:
        addresses = await self._resolve(origin, owner)
        try:
            # It connects to the addresses that were checked: a name is not resolved again.
            connected = await start_connection(
                addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, interleave=1
            )
            return await self._attach(connected, origin)
        except OSError as error:
            if error.errno in _NO_FILE_LEFT:
                self._make_room()
            raise _unreachable(error) from error

    def _make_room(self) -> None:
        """Close what is idle, so that whoever comes next finds a file."""
        for connection in list(self._all_idle()):
            connection.abort()
        self._idle.clear()
        self._relieve()

    async def _resolve(self, origin: Origin, owner: str) -> Sequence[AddrInfoType]:
        addresses = await self._resolver.resolve(origin.host, origin.port, owner)
        if self._allows is None or origin.trusted:
            return addresses
        for *_, address in addresses:
            # One bad address among good ones is how a name is made to lead inside.
            if not self._allows(origin.host, str(address[0]), int(address[1])):
                raise AddressRefused
        return addresses

    async def _attach(self, connected: socket.socket, origin: Origin) -> Connection:
        secure = origin.scheme == "https"
        try:
            _, connection = await self._loop.create_connection(
                lambda: Connection(origin, self._loop, self._forget),
                sock=connected,
                ssl=(origin.pinned or self._tls) if secure else None,
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


def _unreachable(error: OSError) -> ConnectFailed:
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateRefused()
    if error.errno in _NO_FILE_LEFT:
        return NoFileLeft()
    return TlsFailed() if isinstance(error, ssl.SSLError) else ConnectFailed()
