"""Memory that runs out in Envoy: it sheds, says so at once, and serves again once there is room."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest
from modelserving.v1 import endpoint_service_pb2, endpoint_service_pb2_grpc

from modelplane.deploy.envoy import listener
from modelplane.deploy.envoy.options import Address
from modelplane.deploy.local.http_client import HttpClient
from tests.deploy.envoy.conftest import AS_IT_IS, TRANSCODED
from tests.deploy.envoy.envoys import running_envoy, until_health
from tests.deploy.envoy.toy_planes import ToyControlPlane
from tests.deploy.envoy.toy_worker import ToyWorker
from tests.effort import times

MIB = 1024 * 1024
HEAP_MIB = 96
HELD = b"x" * (3 * MIB)
# Together several times the memory.
BODIES, BODY, PIECE = 40, 15 * MIB, b"x" * (MIB // 16)
ENDPOINTS = "/api/2.0/serving-endpoints"
KNOWN = {"authorization": "Bearer known"}


@contextlib.asynccontextmanager
async def small_envoy(directory: Path) -> AsyncIterator[tuple[Address, HttpClient]]:
    """Run one with little memory before two toy planes."""
    # What ends requests here is memory, not time.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listener, "REQUEST_SECONDS", 600)
        async with _two_toys(directory) as running:
            yield running


@contextlib.asynccontextmanager
async def _two_toys(directory: Path) -> AsyncIterator[tuple[Address, HttpClient]]:
    async with (
        ToyControlPlane() as control_plane,
        ToyWorker(Address.of_path(str(directory / "worker.sock"))) as worker,
        running_envoy(directory, control_plane.address, worker.address, max_heap_mib=HEAP_MIB) as (
            public,
            admin,
        ),
    ):
        await until_health(public, 200)
        yield public, admin


@contextlib.asynccontextmanager
async def bodies_until_refused(public: Address) -> AsyncIterator[httpx.Response]:
    """Hold more and more bodies that lack their last byte; yield the first refusal of a query."""
    writers: list[asyncio.StreamWriter] = []
    try:
        while (answer := await query(public)).status_code == 200:
            _, writer = await asyncio.open_connection(public.host, public.port)
            writers.append(writer)
            writer.write(head(TRANSCODED, len(HELD) + 1) + HELD)
            await writer.drain()
        yield answer
    finally:
        for writer in writers:
            writer.close()


def head(path: str, length: int) -> bytes:
    """Return how a request of a known caller begins."""
    begin = f"POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer known\r\n"
    return f"{begin}content-length: {length}\r\n\r\n".encode()


async def query(public: Address, path: str = AS_IT_IS) -> httpx.Response:
    """Query as an honest caller does, on a new connection."""
    async with httpx.AsyncClient(trust_env=False, timeout=None, headers=KNOWN) as client:
        return await client.post(f"http://{public}{path}", json={})


async def test_without_memory_callers_are_told_to_come_back(tmp_path: Path) -> None:
    async with small_envoy(tmp_path) as (public, admin):
        async with bodies_until_refused(public) as refused:
            assert refused.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
            assert_told_to_come_back(refused)
            # On whatever way, for as long as there is no room; nobody waits for an answer.
            for path in (AS_IT_IS, TRANSCODED, ENDPOINTS):
                assert_told_to_come_back(await query(public, path))
            await assert_refused_over_grpc(public)
        while (await query(public)).status_code != 200:
            await asyncio.sleep(0.05)
        # That one needs no restart.
        assert (await admin.call("GET", "/ready")).ok


def assert_told_to_come_back(answer: httpx.Response) -> None:
    """Check that an answer is a refusal for now."""
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), answer.text


async def assert_refused_over_grpc(public: Address) -> None:
    """Check the same for a call of gRPC."""
    async with grpc.aio.insecure_channel(str(public)) as channel:
        stub = endpoint_service_pb2_grpc.EndpointServiceStub(channel)
        request = endpoint_service_pb2.GetServingEndpointRequest(name="a")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetServingEndpoint(request, metadata=tuple(KNOWN.items()), timeout=120)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    told = {**dict(caught.value.initial_metadata()), **dict(caught.value.trailing_metadata())}
    assert told["retry-after"] == "1"


async def pour(public: Address, path: str, start: asyncio.Event) -> bytes:
    """Begin a request, send its body once all have begun, and return what was answered."""
    reader, writer = await asyncio.open_connection(public.host, public.port)
    try:
        writer.write(head(path, BODY + 1))
        await start.wait()
        for _ in range(BODY // len(PIECE)):
            writer.write(PIECE)
            await writer.drain()
            # Also where nothing holds it up: the honest caller is in this event loop, too.
            await asyncio.sleep(0)
        return await reader.read()
    except OSError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("path", [TRANSCODED, ENDPOINTS][: times(1, 2)])
async def test_bodies_that_all_start_at_once_take_no_more_memory_than_there_is(
    tmp_path: Path, path: str
) -> None:
    async with small_envoy(tmp_path) as (public, admin):
        # Their requests are let in while there is room; their bodies need several times as much.
        start = asyncio.Event()
        pouring = [asyncio.create_task(pour(public, path, start)) for _ in range(BODIES)]
        while await active_requests(admin) < BODIES:
            await asyncio.sleep(0.02)
        start.set()
        most, answers = 0, []
        while not all(each.done() for each in pouring):
            answers.append(await query(public))
            most = max(most, int((await admin.call("GET", "/memory")).json()["allocated"]))
        ends = await asyncio.gather(*pouring)
        answers.append(await query(public))
        # Envoy looks from time to time whether there is room again.
        while answers[-1].status_code != 200:
            assert_told_to_come_back(answers[-1])
            answers.append(await query(public))
    # Envoy looks ten times a second. Between two looks it takes what comes, on a busy machine more.
    assert most < 2 * HEAP_MIB * MIB, most
    # Whoever comes while there is no room is told so; so is who took it, if they still listen.
    for answer in answers:
        if answer.status_code != 200:
            assert_told_to_come_back(answer)
    assert {end.partition(b"\r\n")[0] for end in ends} <= {b"", b"HTTP/1.1 503 Service Unavailable"}


async def active_requests(admin: HttpClient) -> int:
    """Return how many requests are under way."""
    name = "http.public.downstream_rq_active"
    answer = await admin.call("GET", f"/stats?format=json&filter=^{name}$")
    stats = (answer.json() or {}).get("stats") if answer.ok else None
    return int(stats[0]["value"]) if stats else 0
