"""The standard gRPC health service, answered by `readiness.py` at the moment of asking."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from modelplane.data_plane.hosts import http_body, typed_rpcs
from modelplane.data_plane.snapshots.readiness import TICK_SECONDS, Readiness

_STATUS = health_pb2.HealthCheckResponse.ServingStatus
KNOWN_SERVICES = ("", http_body.SERVICE_NAME, typed_rpcs.SERVICE_NAME)


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc] # has no types
    """Answers health checks of the whole server and of each of its services."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def Check(
        self,
        request: health_pb2.HealthCheckRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> health_pb2.HealthCheckResponse:
        """Return the status now."""
        if request.service not in KNOWN_SERVICES:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return self._response(request.service)

    async def Watch(
        self,
        request: health_pb2.HealthCheckRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Send the status whenever it changes; it depends on time, so it is looked at often."""
        del context
        last = None
        while True:
            response = self._response(request.service)
            if response.status != last:
                last = response.status
                yield response
            await asyncio.sleep(TICK_SECONDS)

    def _response(self, service: str) -> health_pb2.HealthCheckResponse:
        return health_pb2.HealthCheckResponse(status=status_of(service, self._readiness))


def status_of(service: str, readiness: Readiness) -> int:
    """Return the `ServingStatus` of a service, or of the whole server for an empty name."""
    if service not in KNOWN_SERVICES:
        return int(_STATUS.SERVICE_UNKNOWN)
    return int(_STATUS.SERVING if readiness.serving() else _STATUS.NOT_SERVING)
