"""`modelplane worker` inside Envoy: how it ends, and that nothing is lost or left over by that."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from modelplane.adapters.rpc.metadata import as_mapping
from modelplane.deploy.envoy.options import Address
from modelplane.deploy.http_client import HttpClient
from tests.data_plane.conftest import collect
from tests.data_plane.fakes import FakeControlPlane
from tests.deploy.envoy.envoys import running_envoy
from tests.deploy.envoy.toy_planes import ToyPlane
from tests.deploy.up.deployments import until_dead
from tests.deploy.worker.workers import CHAT, STREAM, SlowUpstream, Worker, query, serving, started


@pytest.fixture
async def upstream() -> AsyncIterator[SlowUpstream]:
    async with SlowUpstream() as server:
        yield server


async def check(channel: grpc.aio.Channel) -> str:
    """Return what a health check finds: `SERVING`, or why that could not be found."""
    stub = health_pb2_grpc.HealthStub(channel)
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=30)
    except grpc.aio.AioRpcError as error:
        told = as_mapping(error.trailing_metadata()).get("x-envoy-immediate-health-check-fail")
        return "draining" if told == "true" else str(error)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


async def until_refused(address: Address) -> None:
    """Wait until no connection is taken; the test's timeout bounds it."""
    while True:
        try:
            _, writer = await asyncio.open_connection(address.host, address.port)
        except ConnectionRefusedError:
            return
        writer.close()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stream_in_flight_ends_by_itself(
    tmp_path: Path, upstream: SlowUpstream, number: signal.Signals
) -> None:
    async with (
        serving(tmp_path, upstream, "--worker-host", "embedded") as worker,
        grpc.aio.insecure_channel(str(worker.address)) as channel,
    ):
        assert await check(channel) == "SERVING"
        call = query(channel, STREAM)
        first = await call.read()
        worker.process.send_signal(number)
        await worker.said("the worker drains")
        while (found := await check(channel)) == "SERVING":
            await asyncio.sleep(0.02)
        assert found == "draining"
        await until_refused(worker.address)
        upstream.go_on.set()
        rest = await collect(call)
        assert rest.status == 200
        told = first.data + b"".join(rest.messages)
        assert b'"last"' in told
        assert told.endswith(b"data: [DONE]\n\n")
        assert await worker.ended() == 0


async def test_a_stream_is_cut_when_its_time_is_over(
    tmp_path: Path, upstream: SlowUpstream
) -> None:
    async with (
        serving(tmp_path, upstream, "--drain-seconds", "0.2") as worker,
        grpc.aio.insecure_channel(str(worker.address)) as channel,
    ):
        call = query(channel, STREAM)
        await call.read()
        worker.process.terminate()
        assert (await collect(call)).status != 200
        assert await worker.ended() == 0


async def test_a_second_signal_ends_it_at_once(tmp_path: Path, upstream: SlowUpstream) -> None:
    async with (
        # Longer than the test may take.
        serving(tmp_path, upstream, "--drain-seconds", "3600") as worker,
        grpc.aio.insecure_channel(str(worker.address)) as channel,
    ):
        call = query(channel, STREAM)
        await call.read()
        worker.process.terminate()
        await worker.said("the worker drains")
        worker.process.terminate()
        assert (await collect(call)).status != 200
        assert await worker.ended() == 0


async def test_it_ends_with_its_envoy(tmp_path: Path, upstream: SlowUpstream) -> None:
    async with serving(tmp_path, upstream) as worker:
        os.kill(worker.envoy, signal.SIGKILL)
        line = await worker.said("the worker ended by itself")
        assert line["reason"] == "Envoy was killed by SIGKILL"
        assert await worker.ended() == 1


async def test_its_envoy_ends_with_it(tmp_path: Path, upstream: SlowUpstream) -> None:
    async with serving(tmp_path, upstream) as worker:
        envoy = worker.envoy
        worker.process.kill()
        await until_dead(envoy)
        await until_refused(worker.address)


async def test_what_cannot_start_ends(tmp_path: Path) -> None:
    control_plane = FakeControlPlane()
    await control_plane.start()
    flags = ("--worker-listen", control_plane.target)
    async with started(control_plane, tmp_path, *flags) as worker:
        line = await worker.said("the worker ended by itself")
        assert line["reason"] == "Envoy ended with status 1"
        assert await worker.ended() == 1
    await control_plane.stop()


async def test_no_call_fails_when_one_of_two_is_stopped(
    tmp_path: Path, upstream: SlowUpstream
) -> None:
    async with (
        serving(tmp_path / "1", upstream) as first,
        serving(tmp_path / "2", upstream) as second,
        ToyPlane() as plane,
        in_front(tmp_path, plane, first, second) as (public, channel),
    ):
        until = asyncio.ensure_future(first.ended())
        callers = [asyncio.ensure_future(calling(channel, until)) for _ in range(4)]
        first.process.terminate()
        assert sum(await asyncio.gather(*callers)) > 0
        assert until.result() == 0
        assert (await collect(query(channel, CHAT))).status == 200
        assert await healthy(public) == 1


@contextlib.asynccontextmanager
async def in_front(
    directory: Path, plane: ToyPlane, *workers: Worker
) -> AsyncIterator[tuple[HttpClient, grpc.aio.Channel]]:
    """Run an Envoy in front of workers; yield its admin page once it knows all, and a channel."""
    ports = [worker.address.port for worker in workers]
    async with (
        running_envoy(directory, [plane.port], ports) as (public, admin),
        grpc.aio.insecure_channel(str(public)) as channel,
    ):
        while await healthy(admin) < len(workers):
            await asyncio.sleep(0.02)
        yield admin, channel


async def healthy(admin: HttpClient) -> int:
    """Return the number of workers that Envoy sends requests to."""
    name = "cluster.workers.membership_healthy"
    answer = await admin.call("GET", f"/stats?format=json&filter=^{name}$")
    return int(answer.json()["stats"][0]["value"])


async def calling(channel: grpc.aio.Channel, until: "asyncio.Future[int]") -> int:
    """Query again and again until something is done; return how often that worked."""
    worked = 0
    while not until.done():
        answer = await collect(query(channel, CHAT))
        assert answer.status == 200, answer
        worked += 1
    return worked
