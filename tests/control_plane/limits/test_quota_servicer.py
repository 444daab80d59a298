"""The quota service over gRPC."""

from collections.abc import AsyncIterator, Sequence

import grpc
import pytest
from modelserving.worker.v1.quota_service_pb2 import LeaseQuotaRequest, QuotaDemand
from modelserving.worker.v1.quota_service_pb2_grpc import (
    QuotaServiceStub,
    add_QuotaServiceServicer_to_server,
)

from modelplane.adapters.shared.rpc.server import Health, new_server, running
from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.limits.quota import Demand, Lease, Quota
from modelplane.control_plane.limits.quota_servicer import QuotaServicer
from modelplane.control_plane.shared_clock import SharedClock
from modelplane.control_plane.store.database import Database
from tests.control_plane.conftest import FakeClock

KEY = b"k" * 16


@pytest.fixture
async def channel(database: Database, clock: FakeClock) -> AsyncIterator[grpc.aio.Channel]:
    server = new_server([], Health().servicer)
    add_QuotaServiceServicer_to_server(QuotaServicer(Quota(database, SharedClock(clock))), server)
    async with (
        running(server, "127.0.0.1:0", 0) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield channel


def request(*demands: QuotaDemand, worker_id: str = "worker-1") -> LeaseQuotaRequest:
    return LeaseQuotaRequest(worker_id=worker_id, demands=demands)


async def test_a_lease(channel: grpc.aio.Channel, clock: FakeClock) -> None:
    clock.now_ms = 5 * 60_000 + 59_000
    lease = QuotaServiceStub(channel).LeaseQuota
    answer = await lease(request(QuotaDemand(key=KEY, limit=10, needed=3)))
    assert (answer.window, answer.remaining_ms) == (5, 1_000)
    assert [(grant.granted, grant.remaining) for grant in answer.grants] == [(3, 7)]
    returned = QuotaDemand(key=KEY, limit=10, returned=2, returned_window=5, debt=1)
    answer = await lease(request(returned))
    assert [(grant.granted, grant.remaining) for grant in answer.grants] == [(0, 8)]


@pytest.mark.parametrize(
    "bad",
    [
        request(worker_id=""),
        request(QuotaDemand(key=KEY), QuotaDemand(key=KEY)),
        request(QuotaDemand(key=KEY, limit=10, returned=-1)),
        request(QuotaDemand(key=KEY, limit=10, debt=-5)),
    ],
)
async def test_what_makes_no_sense_is_refused(
    channel: grpc.aio.Channel, bad: LeaseQuotaRequest
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await QuotaServiceStub(channel).LeaseQuota(bad)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


class NoQuota(Quota):
    async def lease(self, worker_id: str, demands: Sequence[Demand]) -> Lease:
        raise StoreUnavailable("The database does not answer; please retry.")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_without_a_database_another_control_plane_may_be_asked(
    database: Database, clock: FakeClock
) -> None:
    server = new_server([], Health().servicer)
    add_QuotaServiceServicer_to_server(QuotaServicer(NoQuota(database, SharedClock(clock))), server)
    async with (
        running(server, "127.0.0.1:0", 0) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await QuotaServiceStub(channel).LeaseQuota(request())
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
