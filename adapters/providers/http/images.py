"""Fetches images for providers that take only their content.

Called by `data_plane/upstreams/upstream.py` with the URLs that an adapter named.
"""

import asyncio
from collections.abc import Mapping, Sequence

from modelplane.adapters.providers.errors import AdapterError, RequestRefused
from modelplane.adapters.providers.http.transport import HttpTransport
from modelplane.adapters.providers.types import HttpRequest, Image

_OK = 200
_FETCH_SECONDS = 20.0
_MAX_IMAGE_BYTES = 10 * 1024 * 1024
_MEDIA_TYPES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})


async def fetch_images(
    transport: HttpTransport, provider: str, urls: Sequence[str]
) -> Mapping[str, Image]:
    """Return the image behind each of `urls`, fetched at once.

    Raises:
        RequestRefused: One cannot be had in time, is too large, or is no image.
    """
    wanted = list(dict.fromkeys(urls))
    try:
        async with asyncio.timeout(_FETCH_SECONDS):
            fetched = await _fetch_all(transport, provider, wanted)
    except TimeoutError:
        raise _refusal(provider, "could not be fetched in time") from None
    return dict(zip(wanted, fetched, strict=True))


async def _fetch_all(
    transport: HttpTransport, provider: str, urls: Sequence[str]
) -> Sequence[Image]:
    refusals: list[RequestRefused] = []
    tasks: list[asyncio.Task[Image]] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_fetch(transport, provider, url)) for url in urls]
    except* RequestRefused as failures:
        refusals += [error for error in failures.exceptions if isinstance(error, RequestRefused)]
    if refusals:
        raise refusals[0]
    return [task.result() for task in tasks]


async def _fetch(transport: HttpTransport, provider: str, url: str) -> Image:
    try:
        response = await transport.send(HttpRequest(provider, url, {}, b"", method="GET"))
        try:
            media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if response.status != _OK or media_type not in _MEDIA_TYPES:
                raise _refusal(provider, "could not be fetched, or is no GIF, JPEG, PNG or WebP")
            data = await response.body()
        finally:
            response.close()
    except RequestRefused:
        raise
    except AdapterError as error:
        # The image's server is the caller's choice: its failure is no failure of the provider.
        raise _refusal(provider, f"could not be fetched: {error.detail}") from error
    if len(data) > _MAX_IMAGE_BYTES:
        raise _refusal(provider, "is larger than 10 MiB")
    return Image(media_type, data)


def _refusal(provider: str, what: str) -> RequestRefused:
    return RequestRefused(provider, f"an image_url {what}")
