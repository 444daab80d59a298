"""Toy servers behind a real Envoy: the generated services with behaviour that a request chooses.

The endpoint's name (control plane) or the `mode` in the body (worker) says what to do.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Self

import grpc
from google.api import httpbody_pb2
from google.protobuf import struct_pb2
from modelserving.v1 import (
    endpoint_pb2,
    endpoint_service_pb2,
    endpoint_service_pb2_grpc,
    inference_service_pb2,
    inference_service_pb2_grpc,
)

from modelplane.adapters.rpc.metadata import as_mapping
from modelplane.adapters.rpc.over_rest import ORIGINAL_PATH, with_method
from modelplane.adapters.rpc.server import Health, new_server
from modelplane.adapters.rpc.status import Status, abort
from modelplane.control_plane.errors import STATUS_TABLE, ControlPlaneError
from modelplane.control_plane.rest.rest_call import RestCall, RestMethod, find_rest_method

Context = grpc.aio.ServicerContext[Any, Any]

STATUSES = {code.name: code for code in grpc.StatusCode}
NASTY = 'He said "no",\n\\back\\ {"json":1} ünïcode 漢字 100% \t<tab>'


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


class ToyInference(inference_service_pb2_grpc.InferenceServiceServicer):
    """Answers for a worker."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: Counter[str] = Counter()
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.go_on = asyncio.Event()
        self.last: inference_service_pb2.QueryRequest | None = None
        self.metadata: dict[str, str] = {}

    async def Query(  # noqa: N802 - the RPC's name
        self, request: inference_service_pb2.QueryRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        self.last = request
        self.metadata = dict(as_mapping(context.invocation_metadata()))
        self.seen[request.name] += 1
        try:
            body = json.loads(request.payload.data)
        except ValueError as error:
            status = Status(grpc.StatusCode.INVALID_ARGUMENT, 400, "BAD_REQUEST")
            await abort(context, status, f"not JSON: {error}")
        mode = body.get("mode", "echo") if isinstance(body, dict) else "echo"
        await self._prepare(mode, context)
        async for data in self._data(mode, request):
            yield data

    async def _prepare(self, mode: str, context: Context) -> None:
        if mode == "refuse":
            status = Status(grpc.StatusCode.RESOURCE_EXHAUSTED, 429, "REQUEST_LIMIT_EXCEEDED")
            await abort(context, status, NASTY, retry_after=3)
        if mode == "hang":
            await self._hang()
        await context.send_initial_metadata(
            (
                ("served-model-name", "toy"),
                ("x-modelplane-config-version", "4"),
                ("x-request-id", as_mapping(context.invocation_metadata())["x-request-id"]),
            )
        )
        if mode == "refuse-late":
            status = Status(grpc.StatusCode.UNAVAILABLE, 503, "TEMPORARILY_UNAVAILABLE")
            await abort(context, status, "after the initial metadata")

    async def _data(
        self, mode: str, request: inference_service_pb2.QueryRequest
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        if mode == "stream":
            for index in range(3):
                yield httpbody_pb2.HttpBody(
                    content_type="text/event-stream; charset=utf-8",
                    data=f"data: {index}\n\n".encode(),
                )
                self.started.set()
                await self.go_on.wait()
                self.go_on.clear()
        elif mode == "hang-stream":
            yield httpbody_pb2.HttpBody(content_type="text/event-stream", data=b"data: 0\n\n")
            await self._hang()
        elif mode == "large":
            yield httpbody_pb2.HttpBody(content_type="application/json", data=b"x" * (12 << 20))
        else:
            yield httpbody_pb2.HttpBody(content_type="application/json", data=request.payload.data)

    async def _hang(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


class ToyPlane:
    """One toy server on a loopback port, with health and reflection."""

    def __init__(self, name: str = "toy") -> None:
        self.endpoints = ToyEndpoints()  # type: ignore[abstract]
        self.inference = ToyInference(name)  # type: ignore[abstract]
        self.health = Health()
        services = ("modelserving.v1.EndpointService", "modelserving.v1.InferenceService")
        self.server = new_server(services, self.health.servicer, [RestReader()])
        endpoint_service_pb2_grpc.add_EndpointServiceServicer_to_server(self.endpoints, self.server)
        inference_service_pb2_grpc.add_InferenceServiceServicer_to_server(
            self.inference, self.server
        )
        self.port = 0

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
