"""Sends requests to providers over HTTP/1.1: `HttpTransport` for what a worker does all day.

`http1/` speaks the protocol, to any server; what its failures mean for a call to a provider is said
here, once. It follows no redirect, keeps no cookie and reads no proxy from the environment. It asks
for answers as they are, and unpacks those that come compressed all the same.
"""

import asyncio
from collections.abc import Callable, Mapping
from ssl import SSLContext
from types import TracebackType
from typing import Self

from modelplane.adapters.providers.errors import (
    AdapterError,
    HostUnresolved,
    MalformedAnswer,
    OutOfFiles,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnavailable,
    RequestRefused,
)
from modelplane.adapters.providers.http.transport import MAX_BODY_BYTES, HttpResponse, tell_nobody
from modelplane.adapters.providers.http1 import errors
from modelplane.adapters.providers.http1.coding import Decoder, find_decoder
from modelplane.adapters.providers.http1.connection import Connection
from modelplane.adapters.providers.http1.pool import AddressFilter, ConnectionPool, client_tls
from modelplane.adapters.providers.http1.request import (
    encode_head,
    parse_origin,
    parse_target,
)
from modelplane.adapters.providers.http1.resolver import Lookup, Resolver
from modelplane.adapters.providers.types import HttpRequest

# What the failures of `http1/` mean, and what the caller is told.
FAILURES: Mapping[type[errors.HttpError], tuple[type[AdapterError], str]] = {
    errors.AddressRefused: (
        RequestRefused,
        "the gateway may not connect to this host: see MODELPLANE_ALLOWED_UPSTREAMS (no own ports)",
    ),
    errors.NameUnresolved: (
        HostUnresolved,
        "the provider's host name could not be resolved",
    ),
    errors.TooManyLookups: (
        HostUnresolved,
        "too many host names are being resolved for this endpoint, or for all",
    ),
    errors.ConnectTimedOut: (ProviderTimeout, "the provider could not be reached in time"),
    errors.ConnectFailed: (ProviderUnavailable, "the provider could not be reached"),
    errors.NoFileLeft: (OutOfFiles, "the gateway has too many connections; please retry"),
    errors.CertificateRefused: (
        ProviderUnavailable,
        "the provider's TLS certificate was not accepted",
    ),
    errors.TlsFailed: (ProviderUnavailable, "no TLS connection to the provider could be made"),
    errors.ConnectionLost: (
        ProviderUnavailable,
        "the provider closed the connection before it answered",
    ),
    errors.ResponseInvalid: (ProviderFailed, "the provider did not answer in valid HTTP"),
    errors.CodingUnknown: (
        MalformedAnswer,
        "the provider compressed its answer in a way that is not known",
    ),
    errors.CodingBroken: (MalformedAnswer, "a compressed answer is broken"),
    errors.CodingIncomplete: (MalformedAnswer, "a compressed answer is not complete"),
}


class Http1Transport:
    """Sends over one pool of connections. Enter it in the event loop that it serves.

    Attributes:
        relieve: Called where no file is left for a connection; may close others'.
    """

    def __init__(
        self,
        origins: Mapping[str, str] | None = None,
        allows: AddressFilter | None = None,
        lookup: Lookup | None = None,
        tls: SSLContext | None = None,
    ) -> None:
        """Send to providers, or to what stands in their place.

        Args:
            origins: Origin to connect to by origin of a request's URL, for example a private
                endpoint for `https://api.openai.com`. The request keeps its host name, so that
                signatures stay valid.
            allows: Whether a host may be connected to at one of its addresses; asked at each
                connect about each address, but not about what stands in. None: all may.
            lookup: Looks up host names in place of the machine's name servers.
            tls: Whom to trust, where several transports share it; None: what `client_tls` returns.
        """
        self._origins = {
            parse_origin(old): parse_origin(new)._replace(trusted=True)
            for old, new in (origins or {}).items()
        }
        self._allows = allows
        self._lookup = lookup
        self._tls = tls
        self._pool: ConnectionPool | None = None
        self.relieve: Callable[[], None] = tell_nobody

    async def __aenter__(self) -> Self:
        """Open the pool."""
        tls, resolver = self._tls or client_tls(), Resolver(self._lookup)
        self._pool = ConnectionPool(tls, self._allows, resolver, self._on_no_file)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the pool."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.aclose()

    def _on_no_file(self) -> None:
        self.relieve()

    async def send(
        self, request: HttpRequest, stale: Callable[[], None] = tell_nobody
    ) -> HttpResponse:
        """Send; see `HttpTransport`."""
        pool = self._pool
        if pool is None:
            raise RuntimeError("the transport is not open")
        try:
            target = parse_target(request.url)
            origin = target.origin
            if self._origins:
                origin = self._origins.get(origin, origin)
            if request.pinned is not None:
                origin = origin._replace(pinned=request.pinned)
            head = encode_head(target, request)
            connection = await pool.ask(origin, head, request.body, stale, request.owner)
        except errors.HttpError as error:
            raise _translate(request.provider, error) from error
        return _Response(request, connection, pool)


class _Response:
    __slots__ = ("_connection", "_decoder", "_pool", "_provider", "headers", "secrets", "status")

    def __init__(self, request: HttpRequest, connection: Connection, pool: ConnectionPool) -> None:
        self.status = connection.status
        self.headers: Mapping[str, str] = connection.headers
        self.secrets = request.secrets
        self._provider = request.provider
        self._pool = pool
        self._connection: Connection | None = connection
        self._decoder: Decoder | None = None
        if (coding := connection.headers.get("content-encoding")) is not None:
            self._decoder = find_decoder(coding)

    async def read(self) -> bytes:
        connection = self._connection
        if connection is None:
            raise RuntimeError("the response is closed")
        try:
            if self._decoder is not None:
                return await _unpack(connection, self._decoder)
            while not connection.buffered:
                if connection.at_end():
                    return b""
                await connection.arrival()
        except errors.HttpError as error:
            raise _translate(self._provider, error) from error
        except BaseException:
            connection.abort()
            raise
        return connection.take()

    async def body(self) -> bytes:
        connection = self._connection
        if connection is not None and connection.ended and self._decoder is None:
            return connection.take()
        # One buffer: a list of parts would take more for each of them than small ones have.
        body = bytearray(await self.read())
        while part := await self.read():
            body += part
            if len(body) > MAX_BODY_BYTES:
                raise MalformedAnswer(self._provider, "the provider's answer is too large")
        return bytes(body)

    def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            self._pool.give_back(connection)


async def _unpack(connection: Connection, decoder: Decoder) -> bytes:
    # What is still packed may be a thousand times as large: the others get their turn between.
    if decoder.pending:
        await asyncio.sleep(0)
    while not (piece := decoder.pull()):
        while not connection.buffered and not connection.at_end():
            await connection.arrival()
        data = connection.take()
        if not data:
            decoder.finish()
            return b""
        decoder.push(data)
    return piece


def _translate(provider: str, error: errors.HttpError) -> AdapterError:
    if isinstance(error, errors.RequestInvalid):
        refused: AdapterError = RequestRefused(provider, str(error))
    else:
        cls, detail = FAILURES[type(error)]
        refused = cls(provider, detail)
    if isinstance(error, errors.RequestInvalid | errors.AddressRefused):
        refused.answered = False
    return refused
