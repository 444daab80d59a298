"""gRPC calls of a worker, whose own socket speaks HTTP/1.1, as grpcio's client sees them.

`tests/data_plane/hosts/grpc/test_calls.py` has what is not Envoy's.
"""

import asyncio
import json
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from modelserving.v1 import inference_service_pb2 as pb
from modelserving.v1.inference_service_pb2_grpc import InferenceServiceStub

from modelplane.adapters.shared.rpc.metadata import as_mapping
from tests.deploy.envoy.conftest import Gateway
from tests.deploy.envoy.toy_worker import EVENT, NASTY

SERVICE = "/modelserving.v1.InferenceService"
CODE = grpc.StatusCode
UNLIMITED = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))

pytestmark = pytest.mark.asyncio(loop_scope="module")


def query_request(body: Any) -> pb.QueryRequest:
    payload = HttpBody(content_type="application/json", data=json.dumps(body).encode())
    return pb.QueryRequest(name="toy", payload=payload)


def query(
    channel: grpc.aio.Channel, mode: str = "echo", timeout: float | None = 30, **body: Any
) -> Any:
    request = query_request({"mode": mode, **body})
    metadata = (("x-request-id", "r-1"),)
    return InferenceServiceStub(channel).Query(request, timeout=timeout, metadata=metadata)


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


async def test_unary_with_initial_and_trailing_metadata(gateway: Gateway) -> None:
    method = gateway.channel.unary_unary(
        f"{SERVICE}/Query", pb.QueryRequest.SerializeToString, HttpBody.FromString
    )
    call = method(query_request({"mode": "echo"}), timeout=30)
    assert (await call).content_type == "application/json"
    assert as_mapping(await call.initial_metadata())["served-model-name"] == "toy"
    assert await call.code() is CODE.OK
    assert await call.details() == ""


async def test_a_stream_of_parts_arrives_whole_and_in_order(gateway: Gateway) -> None:
    assert await read_all(query(gateway.channel, "parts", parts=100)) == [EVENT] * 100


async def test_a_stream_without_messages(gateway: Gateway) -> None:
    call = query(gateway.channel, "parts")
    assert await read_all(call) == []
    assert await call.code() is CODE.OK


async def test_calls_share_a_connection(gateway: Gateway) -> None:
    calls = [query(gateway.channel, number=number) for number in range(50)]
    answers = await asyncio.gather(*map(read_all, calls))
    assert [json.loads(answer)["number"] for [answer] in answers] == list(range(50))


async def test_a_refusal_has_its_status_message_and_metadata(gateway: Gateway) -> None:
    error = await refused(query(gateway.channel, "refuse"))
    assert error.code() is CODE.RESOURCE_EXHAUSTED
    assert error.details() == NASTY
    trailers = as_mapping(error.trailing_metadata())
    assert trailers["x-modelplane-http-status"] == "429"
    assert trailers["x-modelplane-error-code"] == "REQUEST_LIMIT_EXCEEDED"
    assert trailers["retry-after"] == "3"
    assert trailers["x-request-id"] == "r-1"


async def test_a_refusal_within_an_answer_comes_in_the_trailers(gateway: Gateway) -> None:
    call = query(gateway.channel, "refuse-late")
    assert as_mapping(await call.initial_metadata())["served-model-name"] == "toy"
    assert (await call.read()).data == b"data: 0\n\n"
    error = await refused(call)
    assert error.code() is CODE.UNAVAILABLE
    assert error.details() == "after the initial metadata"
    assert as_mapping(error.trailing_metadata())["x-modelplane-http-status"] == "503"


@pytest.mark.parametrize("granted", [20, None])
async def test_the_deadline_reaches_the_service(gateway: Gateway, granted: float | None) -> None:
    await read_all(query(gateway.channel, timeout=granted))
    assert gateway.worker.last
    deadline = gateway.worker.last.deadline_seconds
    # grpcio rounds up.
    assert deadline is None if granted is None else 0 < (deadline or 0) <= 21


@pytest.mark.parametrize("mode", ["hang", "hang-stream"])
async def test_a_caller_past_its_deadline_is_gone(gateway: Gateway, mode: str) -> None:
    gateway.worker.started.clear()
    gateway.worker.cancelled.clear()
    # A busy machine may take longer than the first one until the worker is reached.
    for seconds in (0.3, 5.0, 50.0):
        error = await refused(query(gateway.channel, mode, timeout=seconds))
        assert error.code() is CODE.DEADLINE_EXCEEDED
        if gateway.worker.started.is_set():
            break
    await gateway.worker.cancelled.wait()


@pytest.mark.parametrize("mode", ["hang", "hang-stream"])
async def test_cancellation_reaches_the_service(gateway: Gateway, mode: str) -> None:
    gateway.worker.started.clear()
    gateway.worker.cancelled.clear()
    call = query(gateway.channel, mode)
    await gateway.worker.started.wait()
    call.cancel()
    await gateway.worker.cancelled.wait()


async def test_a_caller_who_hangs_up_is_gone(gateway: Gateway) -> None:
    gateway.worker.cancelled.clear()
    async with grpc.aio.insecure_channel(f"{gateway.host}:{gateway.port}") as channel:
        call = query(channel, "hang-stream")
        assert (await call.read()).data == b"data: 0\n\n"
    await gateway.worker.cancelled.wait()


async def test_messages_of_16_mib_are_taken_and_longer_ones_refused(gateway: Gateway) -> None:
    padding = "x" * (16 * 1024 * 1024)
    target = f"{gateway.host}:{gateway.port}"
    async with grpc.aio.insecure_channel(target, options=UNLIMITED) as channel:
        [answer] = await read_all(query(channel, padding=padding))
        assert len(answer) > len(padding)
        error = await refused(query(channel, padding=padding + "x" * 1024 * 1024))
    assert error.code() is CODE.RESOURCE_EXHAUSTED
    assert "longer than 17825792" in (error.details() or "")


async def test_an_unknown_method_is_unimplemented(gateway: Gateway) -> None:
    method: Any = gateway.channel.unary_stream(f"{SERVICE}/Nothing")
    error = await refused(method(b"", timeout=30))
    assert error.code() is CODE.UNIMPLEMENTED
    assert f"{SERVICE}/Nothing" in (error.details() or "")
