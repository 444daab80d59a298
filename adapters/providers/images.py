"""Fetches images for providers that take only their content.

Called by `data_plane/upstream.py` with the URLs that an adapter named.
"""

from collections.abc import Mapping, Sequence

from adapters.providers.errors import RequestRefused
from adapters.providers.http import HttpTransport
from adapters.providers.types import HttpRequest, Image

_OK = 200


async def fetch_images(
    transport: HttpTransport, provider: str, urls: Sequence[str]
) -> Mapping[str, Image]:
    """Return the image behind each of `urls`.

    Raises:
        RequestRefused: One cannot be had, or is no image.
        AdapterError: Its server failed.
    """
    return {url: await _fetch(transport, provider, url) for url in dict.fromkeys(urls)}


async def _fetch(transport: HttpTransport, provider: str, url: str) -> Image:
    response = await transport.send(HttpRequest(provider, url, {}, b"", method="GET"))
    try:
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.status != _OK or not media_type.startswith("image/"):
            raise RequestRefused(provider, "an image_url could not be fetched, or is no image")
        return Image(media_type, await response.body())
    finally:
        response.close()
