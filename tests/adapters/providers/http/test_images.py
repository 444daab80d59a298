"""Images behind URLs: fetched together, once each, and only what is one."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from modelplane.adapters.providers.errors import ImageRefused, RequestRefused
from modelplane.adapters.providers.http.client import Http1Transport
from modelplane.adapters.providers.http.images import MAX_IMAGES, fetch_images
from modelplane.adapters.providers.types import Image
from modelplane.adapters.shared.egress import EgressPolicy

PNG = b"\x89PNG\r\n"


class Images:
    """A server of images, and of what is none."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.most = 0
        # So many are waited for, once.
        self.together = 0
        self._now = 0
        self._are_together = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append(request.path)
        self._now += 1
        self.most = max(self.most, self._now)
        if self.most >= self.together:
            self._are_together.set()
        await self._are_together.wait()
        await asyncio.sleep(0.01)
        self._now -= 1
        if request.path.startswith("/large"):
            return web.Response(body=bytes(8 * 1024 * 1024), content_type="image/png")
        match request.path:
            case "/missing.png":
                return web.Response(status=404, content_type="image/png")
            case "/moved.png":
                return web.Response(status=302, headers={"location": "/a.png"})
            case "/page":
                return web.Response(text="<html>", content_type="text/html")
            case "/huge.png":
                return web.Response(body=bytes(10 * 1024 * 1024 + 1), content_type="image/png")
        return web.Response(body=PNG + request.path.encode(), content_type="image/png")


@pytest.fixture
def images() -> Images:
    return Images()


@pytest.fixture
async def origin(images: Images) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{path:.*}", images.answer)
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}"


async def test_each_url_is_fetched_once(
    transport: Http1Transport, images: Images, origin: str
) -> None:
    urls = [f"{origin}/a.png", f"{origin}/b.png", f"{origin}/a.png"]
    fetched = await fetch_images(transport, "p", urls)
    assert fetched == {
        urls[0]: Image("image/png", PNG + b"/a.png"),
        urls[1]: Image("image/png", PNG + b"/b.png"),
    }
    assert sorted(images.seen) == ["/a.png", "/b.png"]


async def test_a_few_are_fetched_at_a_time(
    transport: Http1Transport, images: Images, origin: str
) -> None:
    images.together = 4
    await fetch_images(transport, "p", [f"{origin}/{at}.png" for at in range(MAX_IMAGES)])
    assert len(images.seen) == MAX_IMAGES
    assert images.most == 4


async def test_more_are_refused_before_any_is_fetched(
    transport: Http1Transport, images: Images, origin: str
) -> None:
    with pytest.raises(ImageRefused) as caught:
        await fetch_images(transport, "p", [f"{origin}/{at}.png" for at in range(MAX_IMAGES + 1)])
    assert "at most 20 images" in str(caught.value.detail)
    assert not images.seen


async def test_images_have_a_bound_together(transport: Http1Transport, origin: str) -> None:
    with pytest.raises(ImageRefused) as caught:
        await fetch_images(transport, "p", [f"{origin}/large-{at}.png" for at in range(3)])
    assert "20 MiB together" in str(caught.value.detail)


async def test_images_for_which_there_is_no_room_are_fetched_no_further(
    transport: Http1Transport, origin: str
) -> None:
    class Full(Exception):
        pass

    def arriving(size: int) -> None:
        if size > 1000:
            raise Full

    urls = [f"{origin}/large-{at}.png" for at in range(2)]
    with pytest.raises(Full):
        await fetch_images(transport, "p", urls, "id", arriving)


@pytest.mark.parametrize("path", ["/missing.png", "/moved.png", "/page", "/huge.png"])
async def test_what_is_no_image_is_refused(
    transport: Http1Transport, origin: str, path: str
) -> None:
    with pytest.raises(RequestRefused) as caught:
        await fetch_images(transport, "p", [origin + path])
    assert "image_url" in str(caught.value.detail)


async def test_an_image_server_that_fails_is_the_callers_matter(transport: Http1Transport) -> None:
    with pytest.raises(RequestRefused, match="ImageRefused"):
        await fetch_images(transport, "p", ["http://127.0.0.1:1/a.png"])


async def test_an_inside_address_is_not_fetched_from(images: Images, origin: str) -> None:
    async with Http1Transport(allows=EgressPolicy().allows) as guarded:
        with pytest.raises(RequestRefused):
            await fetch_images(guarded, "p", [f"{origin}/a.png"])
    assert not images.seen
