"""Memory that runs out in Envoy: it sheds, says so at once, and serves again once there is room."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest
from modelserving.v1 import endpoint_service_pb2, endpoint_service_pb2_grpc

from modelplane.deploy.envoy.options import Address
from modelplane.deploy.local.http_client import HttpClient
from tests.deploy.envoy.conftest import AS_IT_IS, TRANSCODED
from tests.deploy.envoy.envoys import running_envoy, until_health
from tests.deploy.envoy.toy_planes import ToyControlPlane
from tests.deploy.envoy.toy_worker import ToyWorker

MIB = 1024 * 1024
HEAP_MIB = 96
ENDPOINTS = "/api/2.0/serving-endpoints"
KNOWN = {"authorization": "Bearer known"}


@contextlib.asynccontextmanager
async def small_envoy(directory: Path) -> AsyncIterator[tuple[Address, HttpClient]]:
    """Run one with little memory before two toy planes."""
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
async def held_bodies(public: Address, count: int, size: int) -> AsyncIterator[list[bytes]]:
    """Send bodies that lack their last byte, which Envoy keeps; yield what was answered so far."""
    answers: list[bytes] = []

    async def hold() -> None:
        reader, writer = await asyncio.open_connection(public.host, public.port)
        try:
            head = f"POST {TRANSCODED} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer known\r\n"
            writer.write(f"{head}content-length: {size + 1}\r\n\r\n".encode())
            writer.write(b"x" * size)
            answers.append((await reader.read(65_536)).partition(b"\r\n")[0])
        finally:
            writer.close()

    holds = [asyncio.create_task(hold()) for _ in range(count)]
    try:
        yield answers
    finally:
        for each in holds:
            each.cancel()
        await asyncio.gather(*holds, return_exceptions=True)


async def query(public: Address, path: str = AS_IT_IS) -> httpx.Response:
    """Query as an honest caller does, on a new connection."""
    async with httpx.AsyncClient(trust_env=False, timeout=10, headers=KNOWN) as client:
        return await client.post(f"http://{public}{path}", json={})


async def until_refused(public: Address) -> httpx.Response:
    """Query until there is no room; return the refusal."""
    while (answer := await query(public)).status_code == 200:
        await asyncio.sleep(0.05)
    return answer


# Few that Envoy might reset, had they come over HTTP/2, and many that it never would.
@pytest.mark.parametrize(("count", "size"), [(20, 15 * MIB), (250, 800 * 1024)])
async def test_without_memory_callers_are_told_to_come_back(
    tmp_path: Path, count: int, size: int
) -> None:
    async with small_envoy(tmp_path) as (public, admin):
        async with held_bodies(public, count, size) as answers:
            refused = await until_refused(public)
            assert refused.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
            assert_told_to_come_back(refused)
            # On whatever way, for as long as there is no room; nobody waits for an answer.
            for path in (AS_IT_IS, TRANSCODED, ENDPOINTS):
                assert_told_to_come_back(await query(public, path))
            await assert_refused_over_grpc(public)
            # Those that have begun are let go on; what came when it was late has been refused.
            assert set(answers) <= {b"HTTP/1.1 503 Service Unavailable"}
            assert len(answers) < count
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
            await stub.GetServingEndpoint(request, metadata=tuple(KNOWN.items()), timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    told = {**dict(caught.value.initial_metadata()), **dict(caught.value.trailing_metadata())}
    assert told["retry-after"] == "1"
