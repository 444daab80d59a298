"""The pages of the user interface through a real Envoy."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from modelserving.v1.ui_service_pb2_grpc import add_UiServiceServicer_to_server
from prometheus_client import CollectorRegistry

from modelplane.adapters.shared.rpc.server import Health, new_server
from modelplane.control_plane.interceptor import Interceptor
from modelplane.control_plane.ui.assets import load_assets
from modelplane.control_plane.ui.ui_servicer import UiServicer
from modelplane.deploy.envoy.options import Address
from modelplane.deploy.envoy.ui import PAGE_HEADERS
from tests.deploy.envoy.envoys import running_envoy

pytestmark = pytest.mark.asyncio(loop_scope="module")
SCRIPT = b"export const text = 'the same again and again'\n" * 100


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pages(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    directory = tmp_path_factory.mktemp("ui")
    _write(directory / "static")
    health = Health()
    # Pages ask for no caller, and change nothing.
    interceptor = Interceptor(None, None, CollectorRegistry())  # type: ignore[arg-type]
    server = new_server(["modelserving.v1.UiService"], health.servicer, [interceptor])
    add_UiServiceServicer_to_server(UiServicer(load_assets(directory / "static")), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    control_plane, worker = Address("127.0.0.1", port), Address.of_path("/nowhere")
    async with (
        running_envoy(directory, control_plane, worker) as (public, _),
        httpx.AsyncClient(base_url=f"http://{public}", timeout=120) as client,
    ):
        yield client
    await server.stop(0)


def _write(static: Path) -> None:
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_bytes(b"<!doctype html><title>modelplane</title>")
    (static / "assets" / "main-4f2a.js").write_bytes(SCRIPT)


@pytest.mark.parametrize("path", ["/ui/", "/ui/index.html"])
async def test_the_page_is_asked_for_anew_each_time(pages: httpx.AsyncClient, path: str) -> None:
    answer = await pages.get(path)
    assert (answer.status_code, answer.text[:9]) == (200, "<!doctype")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert {name: answer.headers[name] for name in PAGE_HEADERS} == PAGE_HEADERS


@pytest.mark.parametrize("encoding", ["br", "gzip"])
async def test_a_script_is_compressed_and_kept(pages: httpx.AsyncClient, encoding: str) -> None:
    async with pages.stream(
        "GET", "/ui/assets/main-4f2a.js", headers={"accept-encoding": encoding}
    ) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == encoding
    assert len(raw) < len(SCRIPT) / 10
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_who_takes_no_compression_gets_none(pages: httpx.AsyncClient) -> None:
    answer = await pages.get("/ui/assets/main-4f2a.js", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in answer.headers
    assert answer.content == SCRIPT


async def test_a_browser_that_takes_both_gets_brotli(pages: httpx.AsyncClient) -> None:
    both = {"accept-encoding": "gzip, deflate, br"}
    async with pages.stream("GET", "/ui/assets/main-4f2a.js", headers=both) as answer:
        assert answer.headers["content-encoding"] == "br"


@pytest.mark.parametrize("path", ["/ui/none.js", "/ui/assets/../../etc/passwd", "/ui/assets"])
async def test_what_is_no_file_is_not_kept(pages: httpx.AsyncClient, path: str) -> None:
    answer = await pages.get(path)
    assert answer.status_code == 404
    assert answer.headers.get("cache-control", "no-cache") == "no-cache"


async def test_the_folder_has_one_address(pages: httpx.AsyncClient) -> None:
    answer = await pages.get("/ui")
    assert (answer.status_code, answer.headers["location"]) == (
        301,
        str(pages.base_url.join("/ui/")),
    )


async def test_nothing_is_posted_to_a_page(pages: httpx.AsyncClient) -> None:
    assert (await pages.post("/ui/", content=b"{}")).status_code == 404
