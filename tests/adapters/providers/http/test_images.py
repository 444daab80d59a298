"""Images behind URLs: fetched together, once each, and only what is one."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from modelplane.adapters.providers.errors import RequestRefused
from modelplane.adapters.providers.http.client import Http1Transport
from modelplane.adapters.providers.http.images import fetch_images
from modelplane.adapters.providers.types import Image
from modelplane.adapters.shared.egress import EgressPolicy

PNG = b"\x89PNG\r\n"


class Images:
    """A server of images, and of what is none."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append(request.path)
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


@pytest.mark.parametrize("path", ["/missing.png", "/moved.png", "/page", "/huge.png"])
async def test_what_is_no_image_is_refused(
    transport: Http1Transport, origin: str, path: str
) -> None:
    with pytest.raises(RequestRefused) as caught:
        await fetch_images(transport, "p", [origin + path])
    assert "image_url" in str(caught.value.detail)


async def test_an_image_server_that_fails_is_the_callers_matter(transport: Http1Transport) -> None:
    with pytest.raises(RequestRefused, match="RequestRefused"):
        await fetch_images(transport, "p", ["http://127.0.0.1:1/a.png"])


async def test_an_inside_address_is_not_fetched_from(images: Images, origin: str) -> None:
    async with Http1Transport(allows=EgressPolicy().allows) as guarded:
        with pytest.raises(RequestRefused):
            await fetch_images(guarded, "p", [f"{origin}/a.png"])
    assert not images.seen
