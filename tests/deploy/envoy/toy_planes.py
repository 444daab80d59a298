"""A toy control plane behind a real Envoy: the endpoint's name says what to do.

`toy_worker.py` is the other plane.
"""

import asyncio
from typing import Any, Self

import grpc
from google.protobuf import struct_pb2
from modelserving.v1 import endpoint_pb2, endpoint_service_pb2, endpoint_service_pb2_grpc

from modelplane.adapters.shared.rpc.metadata import as_mapping
from modelplane.adapters.shared.rpc.over_rest import ORIGINAL_PATH, with_method
from modelplane.adapters.shared.rpc.server import Health, new_server
from modelplane.adapters.shared.rpc.status import Status, abort
from modelplane.control_plane.errors import STATUS_TABLE, ControlPlaneError
from modelplane.control_plane.rest.call import RestCall, RestMethod, find_rest_method
from modelplane.deploy.envoy.options import Address
from tests.deploy.envoy.toy_worker import NASTY

Context = grpc.aio.ServicerContext[Any, Any]

STATUSES = {code.name: code for code in grpc.StatusCode}


class RestReader(grpc.aio.ServerInterceptor):
    """Reads what comes over REST as the control plane does, and lets all callers in."""

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        method = find_rest_method(handler_call_details.method)
        if method is None:
            return await continuation(handler_call_details)
        handler = await continuation(with_method(handler_call_details, method.path))
        return grpc.unary_unary_rpc_method_handler(
            _reading(method, handler.unary_unary),
            response_serializer=handler.response_serializer,
        )


def _reading(method: RestMethod, behavior: Any) -> Any:
    async def read(content: bytes, context: Context) -> Any:
        metadata = as_mapping(context.invocation_metadata())
        try:
            call = RestCall(method, metadata[ORIGINAL_PATH], content)
            call.read()
        except ControlPlaneError as error:
            status = STATUS_TABLE.status_of(error)
            assert status is not None
            await abort(context, status, str(error))
        return await behavior(call.request, context)

    return read


class ToyEndpoints(endpoint_service_pb2_grpc.EndpointServiceServicer):
    """Answers for the control plane."""

    def __init__(self) -> None:
        self.metadata: dict[str, str] = {}
        self.names: list[str] = []

    async def GetServingEndpoint(  # noqa: N802 - the RPC's name
        self, request: endpoint_service_pb2.GetServingEndpointRequest, context: Context
    ) -> endpoint_pb2.ServingEndpoint:
        self.metadata = dict(as_mapping(context.invocation_metadata()))
        self.names.append(request.name)
        if request.name == "refused":
            status = Status(grpc.StatusCode.ALREADY_EXISTS, 409, "RESOURCE_CONFLICT")
            await abort(context, status, NASTY, retry_after=7)
        if request.name == "long":
            status = Status(grpc.StatusCode.INVALID_ARGUMENT, 400, "INVALID_PARAMETER_VALUE")
            await abort(context, status, "漢" * 5000)
        if request.name == "hang":
            await asyncio.Event().wait()
        if request.name == "bug":
            raise ValueError("a secret detail")
        if request.name in STATUSES:
            await context.abort(STATUSES[request.name], f"plain {request.name}")
        return full_endpoint(request.name)

    async def ListServingEndpoints(  # noqa: N802 - the RPC's name
        self, request: endpoint_service_pb2.ListServingEndpointsRequest, context: Context
    ) -> endpoint_service_pb2.ListServingEndpointsResponse:
        del request
        self.metadata = dict(as_mapping(context.invocation_metadata()))
        return endpoint_service_pb2.ListServingEndpointsResponse()

    async def CreateServingEndpoint(  # noqa: N802 - the RPC's name
        self, request: endpoint_service_pb2.CreateServingEndpointRequest, context: Context
    ) -> endpoint_pb2.ServingEndpoint:
        del context
        endpoint = endpoint_pb2.ServingEndpoint(name=request.name, description=request.description)
        endpoint.config.served_entities.extend(request.config.served_entities)
        return endpoint

    async def DeleteServingEndpoint(  # noqa: N802 - the RPC's name
        self, request: endpoint_service_pb2.DeleteServingEndpointRequest, context: Context
    ) -> endpoint_service_pb2.DeleteServingEndpointResponse:
        del request, context
        return endpoint_service_pb2.DeleteServingEndpointResponse()


def full_endpoint(name: str) -> endpoint_pb2.ServingEndpoint:
    """Return an endpoint whose every kind of value is present once."""
    endpoint = endpoint_pb2.ServingEndpoint(name=name, creation_timestamp=1699617587000)
    endpoint.config.config_version = 1
    endpoint.config.traffic_config.routes.add(served_entity_name="a", traffic_percentage=0)
    endpoint.config.served_entities.add(
        name="a", scale_to_zero_enabled=False
    ).entity_version.CopyFrom(struct_pb2.Value(string_value="3"))
    return endpoint


class ToyControlPlane:
    """A toy control plane on a loopback port, with health and reflection."""

    def __init__(self) -> None:
        self.endpoints = ToyEndpoints()  # type: ignore[abstract]
        self.health = Health()
        services = ("modelserving.v1.EndpointService", "modelserving.v1.InferenceService")
        self.server = new_server(services, self.health.servicer, [RestReader()])
        endpoint_service_pb2_grpc.add_EndpointServiceServicer_to_server(self.endpoints, self.server)
        self.port = 0

    @property
    def address(self) -> Address:
        """Where it serves."""
        return Address("127.0.0.1", self.port)

    async def __aenter__(self) -> Self:
        """Serve on a free port."""
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        await self.health.set_serving(serving=True)
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End at once."""
        await self.server.stop(0)
