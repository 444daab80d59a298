"""Queries that Envoy hands to the worker as they are, beside the same ones transcoded.

Those that name a served entity are always transcoded; `--queries transcoded` does it to all.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelplane.adapters.shared.rpc.sizes import BODY_TOO_LARGE, MAX_BODY_BYTES
from modelplane.deploy.envoy.filters import build_filters
from modelplane.deploy.envoy.options import Address, EnvoyOptions, Queries
from modelplane.deploy.envoy.routes import NATIVE_PATH, QUERY_PATH, build_route_config
from tests.deploy.envoy.conftest import AS_IT_IS, TRANSCODED, WAYS, Gateway
from tests.deploy.envoy.envoys import running_envoy, until_healthy
from tests.deploy.envoy.toy_planes import ToyControlPlane
from tests.deploy.envoy.toy_worker import EVENT, NASTY, ToyWorker

# Parts of an answer that no buffer on its way holds.
PARTS = 1000
# How the length of a body is told depends on the way.
FRAMING = ("content-length", "transfer-encoding", "date")
OPENAI = ["chat/completions", "completions", "embeddings"]

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
        {"mode": "echo"},
        {"mode": "echo", "padding": "x" * 100_000},
        {"mode": "echo", "text": NASTY},
        {"mode": "parts", "parts": 30},
        {"mode": "refuse"},
    ],
)
async def test_both_ways_look_alike(gateway: Gateway, body: dict[str, Any]) -> None:
    as_it_is = await ask(gateway.rest, AS_IT_IS, **body)
    transcoded = await ask(gateway.rest, TRANSCODED, **body)
    assert seen(as_it_is) == seen(transcoded)
    assert as_it_is.status_code == (429 if body["mode"] == "refuse" else 200)
    if as_it_is.is_success:
        assert as_it_is.headers["x-transcoded"] == "False"
        assert transcoded.headers["x-transcoded"] == "True"


@WAYS
async def test_the_longest_body_passes_and_no_longer_one(gateway: Gateway, path: str) -> None:
    start, end = b'{"mode": "parts", "parts": 1, "padding": "', b'"}'
    body = start + b"x" * (MAX_BODY_BYTES - len(start) - len(end)) + end
    headers = {"content-type": "application/json"}
    answer = await gateway.rest.post(path, content=body, headers=headers)
    assert answer.status_code == 200
    answer = await gateway.rest.post(path, content=body + b" ", headers=headers)
    assert answer.status_code == 400
    assert answer.json()["message"] == BODY_TOO_LARGE


@pytest.mark.parametrize("path", OPENAI)
async def test_so_do_the_routes_of_openai(gateway: Gateway, path: str) -> None:
    answer = await ask(gateway.rest, f"/serving-endpoints/{path}?a=b", mode="echo", model="toy")
    assert answer.headers["x-transcoded"] == "False"
    assert answer.json() == {"mode": "echo", "model": "toy"}


async def test_all_queries_can_be_transcoded(tmp_path: Path) -> None:
    async with (
        ToyControlPlane() as control_plane,
        ToyWorker() as worker,
        running_envoy(
            tmp_path, control_plane.address, worker.address, queries=Queries.TRANSCODED
        ) as (public, admin),
        httpx.AsyncClient(base_url=f"http://{public}", timeout=30) as rest,
    ):
        await until_healthy(admin, 1)
        for path in (AS_IT_IS, *(f"/serving-endpoints/{path}" for path in OPENAI)):
            answer = await ask(rest, path, mode="echo", model="toy")
            assert answer.headers["x-transcoded"] == "True"
            assert answer.json() == {"mode": "echo", "model": "toy"}


async def test_a_query_costs_no_more_than_it_needs() -> None:
    here = Address.parse("127.0.0.1:1")
    config: Any = build_route_config(EnvoyOptions(here, (here,), (here,)))
    sessions, *first, _ = config["virtual_hosts"][0]["routes"][:4]
    assert [route["match"]["safe_regex"]["regex"] for route in first] == [QUERY_PATH, NATIVE_PATH]
    # Only calls of the pages are on their route.
    assert {"name": "x-ui-session", "string_match": {"exact": "1"}} in sessions["match"]["headers"]
    chain: list[Any] = build_filters(cors=False, ui=True)
    *filters, router = chain
    assert router["typed_config"]["dynamic_stats"] is False
    on = {one["name"] for one in filters if not one.get("disabled")}
    for route in first:
        off = route["typed_per_filter_config"]
        assert on == {name for name in off if off[name]["disabled"]}


async def test_other_paths_are_transcoded(gateway: Gateway) -> None:
    rest = gateway.rest
    for path in (TRANSCODED, "/serving-endpoints/t%C3%B6y/invocations"):
        assert (await ask(rest, path, mode="echo")).headers["x-transcoded"] == "True"
    assert (await rest.get(AS_IT_IS)).status_code == 404
    assert (await ask(rest, "/serving-endpoints/a/b/invocations", mode="echo")).status_code == 404


async def test_what_calls_itself_grpc_is_no_query(gateway: Gateway) -> None:
    headers = {"content-type": "application/grpc"}
    answer = await gateway.rest.post(AS_IT_IS, content=b"{}", headers=headers)
    assert "x-transcoded" not in answer.headers
    assert answer.headers.get("grpc-status") == "12"


async def test_a_body_in_chunks_is_taken_whole(gateway: Gateway) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b'{"mode": '
        yield b'"echo"}'

    answer = await gateway.rest.post(AS_IT_IS, content=parts())
    assert answer.json() == {"mode": "echo"}


@WAYS
async def test_a_caller_who_does_not_read_holds_the_worker_up(gateway: Gateway, path: str) -> None:
    worker = gateway.worker
    worker.parts = 0
    async with gateway.rest.stream("POST", path, json={"mode": "parts", "parts": PARTS}) as answer:
        held = -1
        while held != (held := worker.parts) or not held:
            await asyncio.sleep(0.1)
        assert held < PARTS // 2
        size = sum([len(part) async for part in answer.aiter_raw()])
    assert size == PARTS * len(EVENT)
    assert worker.parts == PARTS


async def test_only_what_a_worker_reads_reaches_it(gateway: Gateway) -> None:
    sent = {
        "authorization": "Bearer t",
        "x-routing-key": "k",
        "x-modelplane-hops": "1",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "x-request-id": "r",
        "user-agent": "OpenAI/Python",
    }
    unread = {"x-stainless-lang": "python", "accept": "*/*"}
    await gateway.query({}, AS_IT_IS, headers={**sent, **unread})
    seen = gateway.worker.metadata
    assert sent.items() <= seen.items()
    assert set(seen) - set(sent) == {"host", "content-type", "content-length"}
