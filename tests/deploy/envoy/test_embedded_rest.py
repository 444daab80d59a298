"""Queries that Envoy hands to the worker as they are, beside the same ones transcoded.

Those that name a served entity are transcoded, which is all that sets the two paths apart.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.deploy.envoy.test_embedded import toy_envoy
from tests.deploy.envoy.toy_planes import ToyPlane
from tests.deploy.envoy.toy_worker import NASTY

AS_IT_IS = "/serving-endpoints/toy/invocations"
TRANSCODED = "/serving-endpoints/toy/served-models/one/invocations"
# How the length of a body is told depends on the way.
FRAMING = ("content-length", "transfer-encoding", "date")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rest(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of the public port."""
    async with ToyPlane() as control_plane:
        directory = tmp_path_factory.mktemp("envoy")
        async with (
            toy_envoy(directory, "public", control_plane.port) as toy,
            httpx.AsyncClient(base_url=f"http://{toy.target}", timeout=30) as client,
        ):
            yield client


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
    if as_it_is.status_code == 200:
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
