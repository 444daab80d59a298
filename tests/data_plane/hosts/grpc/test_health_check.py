"""The gRPC health check answers with what is so at the moment of asking."""

import grpc
import pytest
from grpc_health.v1 import health_pb2

from modelplane.data_plane.hosts.grpc.calls import Ended
from modelplane.data_plane.hosts.grpc.health_check import CHECK, health_check
from modelplane.data_plane.snapshots.readiness import Readiness
from tests.data_plane.fakes import FakeClock

SERVICE = "modelserving.v1.InferenceService"
STATUS = health_pb2.HealthCheckResponse


def ask(readiness: Readiness, service: str) -> int:
    request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    checks = health_check(readiness, {SERVICE})
    return int(STATUS.FromString(checks[CHECK](request)).status)


@pytest.mark.parametrize("service", ["", SERVICE])
def test_it_asks_at_the_moment(clock: FakeClock, service: str) -> None:
    readiness = Readiness(clock)
    assert ask(readiness, service) == STATUS.NOT_SERVING
    readiness.applied(5)
    assert ask(readiness, service) == STATUS.SERVING
    clock.now += 10
    assert ask(readiness, service) == STATUS.NOT_SERVING


def test_an_unknown_service_has_no_health(clock: FakeClock) -> None:
    with pytest.raises(Ended) as caught:
        ask(Readiness(clock), "nothing")
    assert caught.value.code is grpc.StatusCode.NOT_FOUND
