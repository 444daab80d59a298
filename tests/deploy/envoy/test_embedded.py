"""The gRPC protocol of the ASGI host inside a real Envoy, as grpcio's own client sees it.

Both places of a worker are tested: inside the public Envoy, and in one of its own behind that.
"""

import asyncio
import contextlib
import json
import os
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.api.httpbody_pb2 import HttpBody
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from modelserving.v1 import inference_service_pb2 as pb
from modelserving.v1.inference_service_pb2_grpc import InferenceServiceStub

from modelplane.adapters.rpc.metadata import as_mapping
from modelplane.deploy.envoy.config import render
from modelplane.deploy.envoy.embedded import obstacle, python_environment
from modelplane.deploy.envoy.options import EnvoyOptions
from modelplane.deploy.envoy.replica import render_replica
from modelplane.deploy.up.ports import free_port
from tests.deploy.envoy.envoys import loopback, running_config
from tests.deploy.envoy.toy_planes import ToyPlane
from tests.deploy.envoy.toy_worker import APPLICATION, NASTY, PART

SERVICE = "/modelserving.v1.InferenceService"
CODE = grpc.StatusCode
ROOT = str(Path(__file__).parents[3])
UNLIMITED = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


@dataclass
class Toy:
    """A channel to the toy worker, inside the public Envoy or one behind it."""

    place: str
    target: str
    channel: grpc.aio.Channel

    def query(self, mode: str, timeout: float | None = 30, **body: Any) -> Any:
        request = query_request({"mode": mode, **body})
        metadata = (("x-request-id", "r-1"),)
        return InferenceServiceStub(self.channel).Query(request, timeout=timeout, metadata=metadata)

    async def counts(self) -> dict[str, int]:
        stub = InferenceServiceStub(self.channel)
        call: Any = stub.ListModels(pb.ListModelsRequest(), timeout=30)
        counts: dict[str, int] = json.loads((await call.read()).data)
        return counts

    async def until_left(self, goal: int) -> None:
        while (await self.counts())["left"] < goal:
            await asyncio.sleep(0.02)


def query_request(body: Any) -> pb.QueryRequest:
    payload = HttpBody(content_type="application/json", data=json.dumps(body).encode())
    return pb.QueryRequest(name="toy", payload=payload)


async def read_all(call: Any) -> list[bytes]:
    # Not iterated over: a test may have read the first messages by itself.
    parts = []
    while (message := await call.read()) is not grpc.aio.EOF:
        parts.append(message.data)
    return parts


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read_all(call)
    return caught.value


async def test_a_worker_can_run_inside_envoy_here() -> None:
    assert obstacle() == ""


@contextlib.asynccontextmanager
async def toy_envoy(directory: Path, place: str, control_plane: int) -> AsyncIterator[Toy]:
    """Run an Envoy with the toy inside."""
    rng = random.Random()
    listen, admin = loopback(free_port(rng)), loopback(free_port(rng))
    if place == "replica":
        text = render_replica(listen, admin)
    else:
        text = render(EnvoyOptions(listen, (loopback(control_plane),), (), admin, embedded=True))
    for name in ("app", "replica"):
        text = text.replace(f"modelplane.data_plane.embedded:{name}", APPLICATION)
    environment = python_environment()
    environment["PYTHONPATH"] = os.pathsep.join((ROOT, environment["PYTHONPATH"]))
    async with (
        running_config(directory, text, admin, environment),
        grpc.aio.insecure_channel(str(listen), options=UNLIMITED) as channel,
    ):
        yield Toy(place, str(listen), channel)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["public", "replica"])
async def toy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Toy]:
    directory = tmp_path_factory.mktemp("embedded")
    async with ToyPlane() as plane, toy_envoy(directory, request.param, plane.port) as toy:
        yield toy


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_unary_with_initial_and_trailing_metadata(toy: Toy) -> None:
    query = toy.channel.unary_unary(
        f"{SERVICE}/Query", pb.QueryRequest.SerializeToString, HttpBody.FromString
    )
    call = query(query_request({"mode": "echo"}), timeout=30)
    assert (await call).content_type == "application/json"
    assert as_mapping(await call.initial_metadata())["served-model-name"] == "toy"
    assert await call.code() is CODE.OK
    assert await call.details() == ""


async def test_a_stream_of_parts_arrives_whole_and_in_order(toy: Toy) -> None:
    parts = await read_all(toy.query("stream", parts=100))
    assert parts == [PART] * 100


async def test_calls_share_a_connection(toy: Toy) -> None:
    answers = await asyncio.gather(*(read_all(toy.query("echo", number=n)) for n in range(50)))
    assert all(len(answer) == 1 for answer in answers)


async def test_a_refusal_has_its_status_message_and_metadata(toy: Toy) -> None:
    error = await refused(toy.query("refuse"))
    assert error.code() is CODE.RESOURCE_EXHAUSTED
    assert error.details() == NASTY
    trailers = as_mapping(error.trailing_metadata())
    assert trailers["x-modelplane-http-status"] == "429"
    assert trailers["x-modelplane-error-code"] == "REQUEST_LIMIT_EXCEEDED"
    assert trailers["retry-after"] == "3"
    assert trailers["x-request-id"] == "r-1"


async def test_a_refusal_within_an_answer_comes_in_the_trailers(toy: Toy) -> None:
    call = toy.query("refuse-late")
    assert (await call.read()).data == b"{}"
    assert as_mapping(await call.initial_metadata())["served-model-name"] == "toy"
    error = await refused(call)
    assert error.code() is CODE.RESOURCE_EXHAUSTED
    assert error.details() == NASTY
    assert as_mapping(error.trailing_metadata())["x-modelplane-http-status"] == "429"


async def test_the_deadline_reaches_the_service(toy: Toy) -> None:
    [answer] = await read_all(toy.query("echo", timeout=20))
    # grpcio rounds up.
    assert 10 < json.loads(answer)["deadline"] <= 21
    [answer] = await read_all(toy.query("echo", timeout=None))
    assert json.loads(answer)["deadline"] is None


async def test_a_caller_past_its_deadline_is_gone(toy: Toy) -> None:
    left = (await toy.counts())["left"]
    error = await refused(toy.query("hang", timeout=0.3))
    assert error.code() is CODE.DEADLINE_EXCEEDED
    await toy.until_left(left + 1)


async def test_cancellation_reaches_the_service(toy: Toy) -> None:
    left = (await toy.counts())["left"]
    call = toy.query("hang")
    assert (await call.read()).data == b"{}"
    call.cancel()
    await toy.until_left(left + 1)


async def test_a_caller_who_hangs_up_is_gone(toy: Toy) -> None:
    left = (await toy.counts())["left"]
    async with grpc.aio.insecure_channel(toy.target) as channel:
        call: Any = InferenceServiceStub(channel).Query(query_request({"mode": "hang"}))
        assert (await call.read()).data == b"{}"
    await toy.until_left(left + 1)


async def test_messages_of_16_mib_are_taken_and_longer_ones_refused(toy: Toy) -> None:
    padding = "x" * (16 * 1024 * 1024)
    [answer] = await read_all(toy.query("echo", padding=padding))
    assert json.loads(answer)["bytes"] > len(padding)
    error = await refused(toy.query("echo", padding=padding + "x" * 1024 * 1024))
    assert error.code() is CODE.RESOURCE_EXHAUSTED
    assert "longer than 17825792" in (error.details() or "")


@pytest.mark.parametrize("how", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_a_compressed_request_is_read(toy: Toy, how: grpc.Compression) -> None:
    async with grpc.aio.insecure_channel(toy.target, compression=how) as channel:
        request = query_request({"mode": "echo", "padding": "x" * 1000})
        [answer] = await read_all(InferenceServiceStub(channel).Query(request, timeout=30))
    assert json.loads(answer)["bytes"] > 1000


async def test_an_unknown_method_is_unimplemented(toy: Toy) -> None:
    method: Any = toy.channel.unary_stream(f"{SERVICE}/Nothing")
    error = await refused(method(b"", timeout=30))
    assert error.code() is CODE.UNIMPLEMENTED
    assert f"{SERVICE}/Nothing" in (error.details() or "")


async def test_health_is_the_control_planes_or_the_replicas_own(toy: Toy) -> None:
    health = health_pb2_grpc.HealthStub(toy.channel)
    asked = health_pb2.HealthCheckRequest()
    answer = await health.Check(asked, wait_for_ready=True, timeout=30)
    status = health_pb2.HealthCheckResponse
    # The toy has no configuration.
    assert answer.status == (status.SERVING if toy.place == "public" else status.NOT_SERVING)


async def test_reflection_is_the_control_planes(toy: Toy) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(toy.channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    call = stub.ServerReflectionInfo(iter([asked]))
    if toy.place == "replica":
        assert (await refused(call)).code() is CODE.UNIMPLEMENTED
        return
    listed = await call.read()
    names = {service.name for service in listed.list_services_response.service}
    assert "modelserving.v1.InferenceService" in names
