"""Queries that Envoy hands to the worker as they are, beside the same ones transcoded.

Those that name a served entity are transcoded, which is all that sets the two paths apart.
"""

import asyncio
import contextlib
import json
import random
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from modelplane.deploy.envoy.config import build_bootstrap
from modelplane.deploy.envoy.options import Address, EnvoyOptions
from modelplane.deploy.up.ports import free_port
from tests.deploy.envoy.envoys import loopback, running_config
from tests.deploy.envoy.test_embedded import toy_envoy
from tests.deploy.envoy.toy_planes import ToyPlane
from tests.deploy.envoy.toy_worker import NASTY, PART

AS_IT_IS = "/serving-endpoints/toy/invocations"
TRANSCODED = "/serving-endpoints/toy/served-models/one/invocations"
# Parts of an answer that no buffer on its way holds.
PARTS = 1000
# How the length of a body is told depends on the way.
FRAMING = ("content-length", "transfer-encoding", "date")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["public", "replica"])
async def rest(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of the Envoy around the worker, or of one in front of that."""
    async with ToyPlane() as control_plane, contextlib.AsyncExitStack() as stack:
        directory = tmp_path_factory.mktemp("envoy")
        toy = await stack.enter_async_context(
            toy_envoy(directory, request.param, control_plane.port)
        )
        target = toy.target
        if request.param == "replica":
            target = await stack.enter_async_context(envoy_before(target, control_plane.port))
        base_url = f"http://{target}"
        yield await stack.enter_async_context(httpx.AsyncClient(base_url=base_url, timeout=30))


@contextlib.asynccontextmanager
async def envoy_before(worker: str, control_plane: int) -> AsyncIterator[str]:
    rng = random.Random()
    listen, admin = loopback(free_port(rng)), loopback(free_port(rng))
    workers = (Address.parse(worker),)
    options = EnvoyOptions(listen, (loopback(control_plane),), workers, admin, rest_workers=True)
    bootstrap: Any = build_bootstrap(options)
    for cluster in bootstrap["static_resources"]["clusters"]:
        # The toy knows no configuration, so that it never reports ready.
        del cluster["health_checks"]
    with tempfile.TemporaryDirectory() as directory:
        async with running_config(Path(directory), json.dumps(bootstrap), admin, {}):
            yield str(listen)


async def ask(rest: httpx.AsyncClient, path: str, **body: Any) -> httpx.Response:
    headers = {"x-request-id": "r-1", "grpc-timeout": "1n", "content-type": "application/json"}
    return await rest.post(path, json=body, headers=headers)


def seen(response: httpx.Response) -> tuple[int, Any, dict[str, str]]:
    # Which characters of a text are escaped is not the same.
    content = response.content if response.is_success else response.json()
    headers = {name: text for name, text in response.headers.items() if name not in FRAMING}
    headers.pop("x-transcoded", None)
    return response.status_code, content, headers


@pytest.mark.parametrize(
    "body",
    [
        {"mode": "whole"},
        {"mode": "echo"},
        {"mode": "echo", "padding": "x" * 100_000},
        {"mode": "parts", "parts": 30},
        {"mode": "refuse"},
        {"mode": "whole", "text": NASTY},
    ],
)
async def test_both_ways_look_alike(rest: httpx.AsyncClient, body: dict[str, Any]) -> None:
    as_it_is, transcoded = await ask(rest, AS_IT_IS, **body), await ask(rest, TRANSCODED, **body)
    assert seen(as_it_is) == seen(transcoded)
    assert as_it_is.status_code == (429 if body["mode"] == "refuse" else 200)
    if as_it_is.is_success:
        assert as_it_is.headers["x-transcoded"] == "False"
        assert transcoded.headers["x-transcoded"] == "True"


@pytest.mark.parametrize("path", ["chat/completions", "completions", "embeddings"])
async def test_so_do_the_routes_of_openai(rest: httpx.AsyncClient, path: str) -> None:
    answer = await ask(rest, f"/serving-endpoints/{path}?a=b", mode="whole", model="toy")
    assert answer.headers["x-transcoded"] == "False"
    assert json.loads(answer.content) == {"mode": "whole", "model": "toy"}


async def test_other_paths_are_transcoded(rest: httpx.AsyncClient) -> None:
    for path in (TRANSCODED, "/serving-endpoints/t%C3%B6y/invocations"):
        assert (await ask(rest, path, mode="whole")).headers["x-transcoded"] == "True"
    assert (await rest.get(AS_IT_IS)).status_code == 404
    assert (await ask(rest, "/serving-endpoints/a/b/invocations", mode="whole")).status_code == 404


async def test_what_calls_itself_grpc_is_no_query(rest: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/grpc"}
    answer = await rest.post(AS_IT_IS, content=b'{"mode": "whole"}', headers=headers)
    assert "x-transcoded" not in answer.headers
    assert answer.headers.get("grpc-status") == "12" or answer.status_code == 404


@pytest.mark.parametrize("path", [AS_IT_IS, TRANSCODED])
async def test_bodies_of_16_mib_are_taken_and_longer_ones_refused(
    rest: httpx.AsyncClient, path: str
) -> None:
    padding = "x" * (16 * 1024 * 1024 - 40)
    taken = await ask(rest, path, mode="echo", padding=padding)
    assert taken.json()["bytes"] > len(padding)
    refused = await ask(rest, path, mode="echo", padding=padding + "x" * 2 * 1024 * 1024)
    assert refused.status_code == 400
    assert "16 MiB" in refused.json()["message"]


async def test_a_body_in_chunks_is_taken_whole(rest: httpx.AsyncClient) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b'{"mode": '
        yield b'"whole"}'

    answer = await rest.post(AS_IT_IS, content=parts())
    assert answer.json() == {"mode": "whole"}


@pytest.mark.parametrize("path", [AS_IT_IS, TRANSCODED])
async def test_a_caller_who_does_not_read_holds_the_worker_up(
    rest: httpx.AsyncClient, path: str
) -> None:
    async def sent() -> int:
        models = await rest.get("/serving-endpoints/models")
        return int(models.json()["parts"])

    body = {"mode": "parts", "parts": PARTS}
    async with rest.stream("POST", path, json=body) as answer:
        held = -1
        while held != (held := await sent()) or not held:
            await asyncio.sleep(0.1)
        assert held < PARTS // 2
        size = sum([len(part) async for part in answer.aiter_raw()])
    assert size == PARTS * len(PART)
    assert await sent() == PARTS
