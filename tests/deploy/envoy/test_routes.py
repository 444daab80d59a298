"""gRPC clients on the public port: their calls pass untouched, trailers included.

Those of workers are in `test_grpc_calls.py`.
"""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from modelserving.v1 import endpoint_service_pb2, endpoint_service_pb2_grpc

from modelplane.adapters.shared.rpc.metadata import ERROR_CODE, HTTP_STATUS, as_mapping
from modelplane.deploy.envoy.descriptors import path_parameters
from tests.deploy.envoy.conftest import Gateway
from tests.deploy.envoy.toy_worker import NASTY

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_unary_call(gateway: Gateway) -> None:
    stub = endpoint_service_pb2_grpc.EndpointServiceStub(gateway.channel)
    call = stub.GetServingEndpoint(endpoint_service_pb2.GetServingEndpointRequest(name="a"))
    assert (await call).name == "a"
    assert as_mapping(await call.initial_metadata())["x-request-id"]


async def test_refusal_keeps_its_trailers(gateway: Gateway) -> None:
    stub = endpoint_service_pb2_grpc.EndpointServiceStub(gateway.channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetServingEndpoint(
            endpoint_service_pb2.GetServingEndpointRequest(name="refused")
        )
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.ALREADY_EXISTS, NASTY)
    trailers = as_mapping(caught.value.trailing_metadata())
    assert (trailers[ERROR_CODE], trailers[HTTP_STATUS]) == ("RESOURCE_CONFLICT", "409")


async def test_health_and_reflection(gateway: Gateway) -> None:
    health = health_pb2_grpc.HealthStub(gateway.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(gateway.channel)
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    async for answer in reflection.ServerReflectionInfo(iter([question])):
        names = [service.name for service in answer.list_services_response.service]
        assert "modelserving.v1.EndpointService" in names


async def test_nobody_watches_the_health(gateway: Gateway) -> None:
    health = health_pb2_grpc.HealthStub(gateway.channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(aiter(health.Watch(health_pb2.HealthCheckRequest())))
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_unknown_method_is_a_grpc_error(gateway: Gateway) -> None:
    for method in ("/foo.Bar/Baz", "/modelserving.worker.v1.SnapshotService/WatchConfig"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.channel.unary_unary(method, bytes, bytes)(b"")
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert caught.value.details() == f"No API found for 'POST {method}'."
        trailers = as_mapping(caught.value.trailing_metadata())
        assert (trailers[ERROR_CODE], trailers[HTTP_STATUS]) == ("ENDPOINT_NOT_FOUND", "404")


async def test_path_parameters_come_from_the_protos() -> None:
    parameters = path_parameters()
    assert {"from_version", "id", "name", "served_model_name"} <= set(parameters)
    # Logs have it in their query string.
    assert "config_version" not in parameters
    assert parameters == sorted(parameters)
