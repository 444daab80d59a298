"""Calls a provider for one served entity: images, credential, requests.

Called by `relay.py`; translation is the adapter's, HTTP is `adapters/providers/http/`'s.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.providers.canonical.forms import parse_error
from modelplane.adapters.providers.credentials.cache import (
    NO_CREDENTIAL,
    CredentialCache,
    CredentialSource,
)
from modelplane.adapters.providers.credentials.signers import Signer
from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.providers.http.images import fetch_images
from modelplane.adapters.providers.http.transport import HttpResponse, HttpTransport
from modelplane.adapters.providers.types import HttpAnswer, HttpRequest, Image, Plan, Query
from modelplane.data_plane.snapshots.snapshot import ServedEntity

SUCCESS = range(200, 300)
# Requests that one query may have at a provider at a time.
_CONCURRENT_REQUESTS = 8
_NO_IMAGES: Mapping[str, Image] = {}


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

    async def plan(self, entity: ServedEntity, query: Query) -> Plan:
        """Return how to put the query to the provider.

        Raises:
            AdapterError: It cannot be, or an image cannot be fetched.
        """
        images = _NO_IMAGES
        if urls := entity.adapter.image_urls(query):
            images = await fetch_images(self._transport, entity.provider, urls)
        return entity.adapter.plan(query, images)

    async def send_all(
        self, adapter: Adapter, requests: Sequence[HttpRequest]
    ) -> Sequence[HttpAnswer]:
        """Return the successful answers to `requests`, in order.

        Raises:
            AdapterError: One of them failed; the others are cancelled.
        """
        if len(requests) == 1:
            return (await self._send(adapter, requests[0]),)
        limit = asyncio.Semaphore(_CONCURRENT_REQUESTS)

        async def send(request: HttpRequest) -> HttpAnswer:
            async with limit:
                return await self._send(adapter, request)

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

    def open(self, adapter: Adapter, request: HttpRequest) -> Awaitable[HttpResponse]:
        """Return the response to a request; where its credential is refused, to a second try.

        Raises:
            AdapterError: No response could be had.
        """
        signer = adapter.signer
        if signer.source is None:
            return self._transport.send(signer.sign(request, NO_CREDENTIAL, self._now()))
        return self._open(signer, request, signer.source)

    async def _open(
        self, signer: Signer, request: HttpRequest, source: CredentialSource
    ) -> HttpResponse:
        credential = await self._credentials.get(source)
        response = await self._transport.send(signer.sign(request, credential, self._now()))
        if not signer.refuses(response.status, response.headers):
            return response
        response.close()
        self._credentials.forget(source, credential)
        credential = await self._credentials.get(source)
        return await self._transport.send(signer.sign(request, credential, self._now()))

    async def _send(self, adapter: Adapter, request: HttpRequest) -> HttpAnswer:
        response = await self.open(adapter, request)
        try:
            body = await response.body()
            answer = HttpAnswer(response.status, response.headers, body, response.secrets)
        finally:
            response.close()
        if answer.status not in SUCCESS:
            raise parse_error(adapter, answer)
        return answer
