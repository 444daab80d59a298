"""The one place that does provider HTTP: a pool of connections behind a small protocol.

Bodies are read when the caller asks for more, so back-pressure reaches the provider, and closing
a response that is not at its end closes its connection, so cancellation does too.
"""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from adapters.providers.errors import (
    AdapterError,
    MalformedAnswer,
    ProviderTimeout,
    ProviderUnavailable,
)
from adapters.providers.types import HttpRequest

MAX_BODY_BYTES = 16 * 1024 * 1024
_CONNECT_SECONDS = 10.0
# Long enough to be reused under steady load, shorter than what most servers keep.
_IDLE_CONNECTION_SECONDS = 15.0
_MAX_HEADER_BYTES = 32 * 1024


class HttpResponse(Protocol):
    """A provider's response whose body is read on demand."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers, looked up without regard to case."""

    async def read(self) -> bytes:
        """Return the next bytes of the body as they arrived; empty at its end.

        Raises:
            AdapterError: The body broke off.
        """

    async def body(self) -> bytes:
        """Return the whole body.

        Raises:
            AdapterError: The body broke off or is too large.
        """

    def close(self) -> None:
        """Give the connection back when the body was read to its end, else close it."""


class HttpTransport(Protocol):
    """Sends requests to providers."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Return the response once its headers are there; the caller closes it.

        Raises:
            AdapterError: No response could be had.
        """


class AiohttpTransport:
    """Sends over one pool of connections. Enter it in the event loop that it serves.

    It follows no redirect, keeps no cookie and reads no proxy from the environment.
    """

    def __init__(self, origins: Mapping[str, str] | None = None) -> None:
        """Send to providers, or to what stands in their place.

        Args:
            origins: Origin to connect to by origin of a request's URL, for example a private
                endpoint for `https://api.openai.com`. The request keeps its host name, so that
                signatures stay valid.
        """
        self._origins = {
            URL(old).origin(): URL(new).origin() for old, new in (origins or {}).items()
        }
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the pool."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_CONNECTION_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            headers={
                "user-agent": "modelplane",
                # Compression would cost both sides more than it saves, and delays streams.
                "accept-encoding": "identity",
            },
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send; see `HttpTransport`."""
        if self._session is None:
            raise RuntimeError("the transport is not open")
        try:
            url, headers = self._route(request)
            response = await self._session.request(
                request.method,
                url,
                data=request.body,
                headers=headers,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _translate(request.provider, error) from error
        return _AiohttpResponse(request.provider, response)

    def _route(self, request: HttpRequest) -> tuple[URL, Mapping[str, str]]:
        url = URL(request.url, encoded=True)
        if not self._origins:
            return url, request.headers
        stand_in = self._origins.get(url.origin())
        if stand_in is None:
            return url, request.headers
        # Joined as text, since a signature covers the path as it is written.
        routed = URL(str(stand_in) + url.raw_path_qs, encoded=True)
        return routed, {**request.headers, "host": urlsplit(request.url).netloc}


class _AiohttpResponse:
    __slots__ = ("_provider", "_response", "headers", "status")

    def __init__(self, provider: str, response: aiohttp.ClientResponse) -> None:
        self._provider = provider
        self._response = response
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self) -> bytes:
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise _translate(self._provider, error) from error

    async def body(self) -> bytes:
        data = await self.read()
        if self._response.content.at_eof():
            return data
        parts = [data]
        size = len(data)
        while part := await self.read():
            parts.append(part)
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise MalformedAnswer(self._provider, "the provider's answer is too large")
        return b"".join(parts)

    def close(self) -> None:
        self._response.close()


def _translate(provider: str, error: Exception) -> AdapterError:
    """Return the error of a call that got no (whole) response; it repeats no URL."""
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return ProviderTimeout(provider, "the provider could not be reached in time")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return ProviderUnavailable(provider, "the provider's TLS certificate was not accepted")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return ProviderUnavailable(provider, "the provider's host name could not be resolved")
    if isinstance(error, aiohttp.ClientConnectorError):
        return ProviderUnavailable(provider, "the provider could not be reached")
    if isinstance(error, aiohttp.ClientResponseError | ValueError):
        return MalformedAnswer(provider, "the provider did not answer in valid HTTP")
    return ProviderUnavailable(provider, "the provider closed the connection before it answered")
