"""Sends requests to providers over HTTP/1.1: `HttpTransport` for what a worker does all day.

`request.py` builds heads, `connection.py` speaks, `pool.py` connects.
It follows no redirect, keeps no cookie and reads no proxy from the environment. It asks for answers
as they are, and unpacks those that come compressed all the same (`coding.py`).
"""

from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Self

from modelplane.adapters.providers.errors import MalformedAnswer, RequestRefused
from modelplane.adapters.providers.http.transport import MAX_BODY_BYTES, HttpResponse
from modelplane.adapters.providers.http1.coding import CODINGS, Decoder
from modelplane.adapters.providers.http1.connection import Connection
from modelplane.adapters.providers.http1.pool import ConnectionPool, Leave, client_tls
from modelplane.adapters.providers.http1.request import (
    RequestInvalid,
    encode_head,
    parse_origin,
    parse_target,
)
from modelplane.adapters.providers.types import HttpRequest


class Http1Transport:
    """Sends over one pool of connections. Enter it in the event loop that it serves."""

    def __init__(
        self,
        origins: Mapping[str, str] | None = None,
        leave: Leave | None = None,
    ) -> None:
        """Send to providers, or to what stands in their place.

        Args:
            origins: Origin to connect to by origin of a request's URL, for example a private
                endpoint for `https://api.openai.com`. The request keeps its host name, so that
                signatures stay valid.
            leave: Whether a host may be connected to at one of its addresses; asked at each
                connect about each address, but not about what stands in. None allows all.
        """
        self._origins = {
            parse_origin(old): parse_origin(new)._replace(trusted=True)
            for old, new in (origins or {}).items()
        }
        self._leave = leave
        self._pool: ConnectionPool | None = None

    async def __aenter__(self) -> Self:
        """Open the pool."""
        self._pool = ConnectionPool(client_tls(), self._leave)
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

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send; see `HttpTransport`.

        A kept connection may have been given up by the server while the request was on its way.
        Such a request is sent once more, over a new connection, also when it is a POST: the
        connection closed right after the write and without a byte, which is what RFC 9112, 9.3.1
        lets a client take for a request that was not acted on. Anything else is not repeated.
        """
        pool = self._pool
        if pool is None:
            raise RuntimeError("the transport is not open")
        try:
            target = parse_target(request.url)
            head = encode_head(target, request)
        except RequestInvalid as error:
            raise RequestRefused(request.provider, str(error)) from error
        origin = target.origin
        if self._origins:
            origin = self._origins.get(origin, origin)
        connection = pool.take(origin)
        while True:
            if connection is None:
                connection = await pool.open(origin, request.provider)
            try:
                if await connection.ask(request.provider, head, request.body):
                    return _Response(request, connection, pool)
            except BaseException:
                connection.abort()
                raise
            connection = None


class _Response:
    __slots__ = ("_connection", "_decoder", "_pool", "_provider", "headers", "secrets", "status")

    def __init__(self, request: HttpRequest, connection: Connection, pool: ConnectionPool) -> None:
        self.status = connection.status
        self.headers: Mapping[str, str] = connection.headers
        self.secrets = request.secrets
        self._provider = request.provider
        self._pool = pool
        self._connection: Connection | None = connection
        coding = self.headers.get("content-encoding", "").strip().lower()
        self._decoder = Decoder(request.provider, coding) if coding in CODINGS else None

    def read(self) -> Coroutine[Any, Any, bytes]:
        if self._connection is None:
            raise RuntimeError("the response is closed")
        if self._decoder is not None:
            return self._unpack(self._connection, self._decoder)
        return self._connection.read()

    async def _unpack(self, connection: Connection, decoder: Decoder) -> bytes:
        while not (piece := decoder.pull()):
            data = await connection.read()
            if not data:
                decoder.finish()
                return b""
            decoder.push(data)
        return piece

    async def body(self) -> bytes:
        connection = self._connection
        if connection is not None and connection.ended and self._decoder is None:
            return connection.take()
        parts = []
        size = 0
        while part := await self.read():
            parts.append(part)
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise MalformedAnswer(self._provider, "the provider's answer is too large")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            self._pool.give_back(connection)
