"""Calls a provider for one served entity: images, credential, requests.

Called by `relay.py`; translation is the adapter's, HTTP is `adapters/providers/http/`'s.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.providers.canonical.forms import parse_error
from modelplane.adapters.providers.credentials.cache import (
    NO_CREDENTIAL,
    CredentialCache,
    CredentialSource,
)
from modelplane.adapters.providers.credentials.signers import Signer
from modelplane.adapters.providers.errors import AdapterError, CredentialRefused
from modelplane.adapters.providers.http.images import fetch_images
from modelplane.adapters.providers.http.transport import HttpResponse, HttpTransport
from modelplane.adapters.providers.types import HttpAnswer, HttpRequest, Image

SUCCESS = range(200, 300)
_CREDENTIAL_REFUSED = CredentialRefused.__name__
# Requests that one query may have at a provider at a time.
_CONCURRENT_REQUESTS = 8


class Resends(Protocol):
    """What is told where a request is sent once more within one attempt, and may forbid it."""

    def stale(self) -> None:
        """Note that it is, since the server had given up the connection that was kept for it.

        That is never forbidden. The server has not acted on the request, as far as HTTP can tell,
        and gets it over a new connection, so no more than once: the load on an upstream that fails
        does not grow by it, which is what a budget is there to prevent.
        """

    def may_repeat(self, error: str, *, in_passing: bool = False) -> bool:
        """Tell whether it may be, in answer to `error`; if so, it is.

        Args:
            error: Class of the error that the upstream has answered with.
            in_passing: Whether the reason is gone since, and another call has paid for that.
        """


class Upstream:
    """Sends what adapters plan."""

    def __init__(self, transport: HttpTransport, wall_seconds: Callable[[], float]) -> None:
        """Send over `transport`.

        Args:
            transport: Sends the requests.
            wall_seconds: Wall time, seconds since the epoch, for credentials and signatures.
        """
        self._transport = transport
        self._now = wall_seconds
        self._credentials = CredentialCache(transport, wall_seconds)

    async def aclose(self) -> None:
        """End what runs in the background."""
        await self._credentials.aclose()

    async def fetch_images(
        self, provider: str, urls: Sequence[str], owner: str, arriving: Callable[[int], None]
    ) -> Mapping[str, Image]:
        """Return the images behind URLs.

        Args:
            provider: Name that errors carry.
            urls: What the caller's query names.
            owner: Endpoint that it is for.
            arriving: Told how many bytes of them are there by now; may raise.

        Raises:
            ImageRefused: One cannot be had.
        """
        # Apart from the endpoint's own lookups, which callers must not use up.
        owner = f"images of {owner}"
        return await fetch_images(self._transport, provider, urls, owner, arriving)

    async def send_all(
        self, adapter: Adapter, requests: Sequence[HttpRequest], resends: Resends
    ) -> Sequence[HttpAnswer]:
        """Return the successful answers to `requests`, in order.

        Args:
            adapter: Has planned them.
            requests: What to send.
            resends: Told where one is sent once more.

        Raises:
            AdapterError: One of them failed; the others are cancelled.
        """
        if len(requests) == 1:
            return (await self._send(adapter, requests[0], resends),)
        limit = asyncio.Semaphore(_CONCURRENT_REQUESTS)

        async def send(request: HttpRequest) -> HttpAnswer:
            async with limit:
                return await self._send(adapter, request, resends)

        tasks = []
        failures: list[AdapterError] = []
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(send(request)) for request in requests]
        except* AdapterError as group_error:
            failures.extend(
                error for error in group_error.exceptions if isinstance(error, AdapterError)
            )
        if failures:
            raise failures[0]
        return [task.result() for task in tasks]

    def open(
        self, adapter: Adapter, request: HttpRequest, resends: Resends
    ) -> Awaitable[HttpResponse]:
        """Return the response to a request; where its credential is refused, to a second try.

        Args:
            adapter: Has planned it.
            request: What to send.
            resends: Told where it is sent once more.

        Raises:
            AdapterError: No response could be had.
        """
        signer = adapter.signer
        if signer.source is None:
            signed = signer.sign(request, NO_CREDENTIAL, self._now())
            return self._transport.send(signed, resends.stale)
        return self._open(signer, request, resends, signer.source)

    async def _open(
        self, signer: Signer, request: HttpRequest, resends: Resends, source: CredentialSource
    ) -> HttpResponse:
        credential = await self._credentials.get(source)
        signed = signer.sign(request, credential, self._now())
        response = await self._transport.send(signed, resends.stale)
        if not signer.refuses(response.status, response.headers):
            return response
        found_out = self._credentials.holds(source, credential)
        if not resends.may_repeat(_CREDENTIAL_REFUSED, in_passing=not found_out):
            return response
        response.close()
        self._credentials.forget(source, credential)
        credential = await self._credentials.get(source)
        signed = signer.sign(request, credential, self._now())
        return await self._transport.send(signed, resends.stale)

    async def _send(self, adapter: Adapter, request: HttpRequest, resends: Resends) -> HttpAnswer:
        response = await self.open(adapter, request, resends)
        try:
            body = await response.body()
            answer = HttpAnswer(response.status, response.headers, body, response.secrets)
        finally:
            response.close()
        if answer.status not in SUCCESS:
            raise parse_error(adapter, answer)
        return answer
