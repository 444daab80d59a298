"""The standard gRPC health check of a worker.

What watches health asks again and again, as Envoy does: `Watch` is not served here, which the
protocol allows (https://github.com/grpc/grpc/blob/master/doc/health-checking.md).
"""

from collections.abc import Container

import grpc
from grpc_health.v1 import health_pb2

from modelplane.data_plane.hosts.grpc.calls import Ended, Unary
from modelplane.data_plane.snapshots.readiness import Readiness

CHECK = "/grpc.health.v1.Health/Check"
# Of the worker as a whole.
_ALL = ""
_STATUS = health_pb2.HealthCheckResponse.ServingStatus


def health_check(readiness: Readiness, services: Container[str]) -> dict[str, Unary]:
    """Return what answers health checks, by path.

    Args:
        readiness: Whether the worker may be sent traffic.
        services: Full names of the services that it has.
    """

    def check(message: bytes) -> bytes:
        service = health_pb2.HealthCheckRequest.FromString(message).service
        if service != _ALL and service not in services:
            raise Ended(grpc.StatusCode.NOT_FOUND, "unknown service")
        status = _STATUS.SERVING if readiness.serving() else _STATUS.NOT_SERVING
        answer = health_pb2.HealthCheckResponse(status=status)
        return bytes(answer.SerializeToString())

    return {CHECK: check}
