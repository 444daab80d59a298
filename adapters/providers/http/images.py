"""Fetches images for providers that take only their content.

Called by `data_plane/upstreams/upstream.py` with the URLs that an adapter named.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from modelplane.adapters.providers.errors import AdapterError, ImageRefused
from modelplane.adapters.providers.http.transport import HttpResponse, HttpTransport
from modelplane.adapters.providers.types import HttpRequest, Image

_OK = 200
_FETCH_SECONDS = 20.0
_MAX_IMAGE_BYTES = 10 * 1024 * 1024
# Of one query: Bedrock takes as many, and Gemini as many bytes.
MAX_IMAGES = 20
_MAX_BYTES = 20 * 1024 * 1024
_CONCURRENT_FETCHES = 4
_MEDIA_TYPES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})


def take_all(_size: int) -> None:
    """Let any number of bytes arrive."""


async def fetch_images(
    transport: HttpTransport,
    provider: str,
    urls: Sequence[str],
    owner: str = "",
    arriving: Callable[[int], None] = take_all,
) -> Mapping[str, Image]:
    """Return the image behind each of `urls`, a few fetched at a time.

    Args:
        transport: Fetches them.
        provider: Name that errors carry.
        urls: Where they are.
        owner: For whom host names are looked up; see `HttpRequest`.
        arriving: Told how many bytes of them are there by now; what it raises ends the fetch.

    Raises:
        ImageRefused: They are too many or too large, or one cannot be had in time or is no image.
    """
    wanted = list(dict.fromkeys(urls))
    if len(wanted) > MAX_IMAGES:
        detail = f"a query may have at most {MAX_IMAGES} images that are fetched from URLs"
        raise ImageRefused(provider, detail)
    try:
        async with asyncio.timeout(_FETCH_SECONDS):
            fetched = await _Fetch(transport, provider, owner, arriving).all(wanted)
    except TimeoutError:
        raise _refusal(provider, "could not be fetched in time") from None
    return dict(zip(wanted, fetched, strict=True))


class _Fetch:
    """Fetches the images of one query."""

    def __init__(
        self,
        transport: HttpTransport,
        provider: str,
        owner: str,
        arriving: Callable[[int], None],
    ) -> None:
        self._transport = transport
        self._provider = provider
        self._owner = owner
        self._arriving = arriving
        self._turns = asyncio.Semaphore(_CONCURRENT_FETCHES)
        self._size = 0

    async def all(self, urls: Sequence[str]) -> Sequence[Image]:
        errors: list[Exception] = []
        tasks: list[asyncio.Task[Image]] = []
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._fetch(url)) for url in urls]
        except* Exception as failures:  # noqa: BLE001 - the first is raised
            errors += failures.exceptions
        if errors:
            raise errors[0]
        return [task.result() for task in tasks]

    async def _fetch(self, url: str) -> Image:
        request = HttpRequest(self._provider, url, {}, b"", method="GET", owner=self._owner)
        try:
            async with self._turns:
                response = await self._transport.send(request)
                try:
                    return await self._read(response)
                finally:
                    response.close()
        except ImageRefused:
            raise
        except AdapterError as error:
            # The image's server is the caller's choice: its failure is no failure of the provider.
            said = f"could not be fetched: {error.detail}"
            raise _refusal(self._provider, said) from error

    async def _read(self, response: HttpResponse) -> Image:
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.status != _OK or media_type not in _MEDIA_TYPES:
            text = "could not be fetched, or is no GIF, JPEG, PNG or WebP"
            raise _refusal(self._provider, text)
        data = bytearray()
        while part := await response.read():
            data += part
            self._size += len(part)
            if len(data) > _MAX_IMAGE_BYTES:
                raise _refusal(self._provider, "is larger than 10 MiB")
            if self._size > _MAX_BYTES:
                raise ImageRefused(self._provider, "the images are larger than 20 MiB together")
            self._arriving(self._size)
        return Image(media_type, bytes(data))


def _refusal(provider: str, what: str) -> ImageRefused:
    return ImageRefused(provider, f"an image_url {what}")
