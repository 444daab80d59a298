"""The standard gRPC health check on the ASGI host; `health_servicer.py` is that of the other host.

What watches health asks again and again, as Envoy does: `Watch` is not served here, which the
protocol allows (https://github.com/grpc/grpc/blob/master/doc/health-checking.md).
"""

import grpc
from grpc_health.v1 import health_pb2

from modelplane.data_plane.hosts.asgi_host import Ended, Unary
from modelplane.data_plane.hosts.health_servicer import KNOWN_SERVICES, status_of
from modelplane.data_plane.snapshots.readiness import Readiness

CHECK = "/grpc.health.v1.Health/Check"


def health_check(readiness: Readiness) -> dict[str, Unary]:
    """Return what answers health checks, by path."""

    def check(message: bytes) -> bytes:
        service = health_pb2.HealthCheckRequest.FromString(message).service
        if service not in KNOWN_SERVICES:
            raise Ended(grpc.StatusCode.NOT_FOUND, "unknown service")
        answer = health_pb2.HealthCheckResponse(status=status_of(service, readiness))
        return bytes(answer.SerializeToString())

    return {CHECK: check}
