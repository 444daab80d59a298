"""The way to the control planes, over gRPC."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Any

import grpc
import pytest
from modelserving.worker.v1.quota_service_pb2 import (
    LeaseQuotaRequest,
    LeaseQuotaResponse,
    QuotaDemand,
    QuotaGrant,
)
from modelserving.worker.v1.quota_service_pb2_grpc import (
    QuotaServiceServicer,
    add_QuotaServiceServicer_to_server,
)

from modelplane.adapters.shared.rpc.control_link import ControlLink, LinkDown
from modelplane.adapters.shared.rpc.server import Health, new_server, running
from modelplane.data_plane.limits.quota_source import GrpcQuotaSource

REQUEST = LeaseQuotaRequest(
    worker_id="worker-1",
    demands=[QuotaDemand(key=b"k" * 16, limit=9, needed=1, wanted=1, returned=4, debt=5, used=2)],
)


class Plane(QuotaServiceServicer):
    """Grants what is needed, unless it is told to fail."""

    def __init__(self) -> None:
        self.asked: list[LeaseQuotaRequest] = []
        self.failure: grpc.StatusCode | None = None
        self.grants = 1

    async def LeaseQuota(self, request: LeaseQuotaRequest, context: Any) -> LeaseQuotaResponse:  # noqa: N802
        self.asked.append(request)
        if self.failure is not None:
            await context.abort(self.failure, "told to")
        grants = [QuotaGrant(granted=1, remaining=8)] * self.grants
        return LeaseQuotaResponse(window=3, remaining_ms=500, grants=grants)


@pytest.fixture
async def planes() -> AsyncIterator[tuple[list[Plane], list[str]]]:
    async with AsyncExitStack() as stack:
        made, targets = [Plane(), Plane()], []
        for plane in made:
            server = new_server([], Health().servicer)
            add_QuotaServiceServicer_to_server(plane, server)
            port = await stack.enter_async_context(running(server, "127.0.0.1:0", 0))
            targets.append(f"127.0.0.1:{port}")
        yield made, targets


@pytest.fixture
async def source(planes: tuple[list[Plane], list[str]]) -> AsyncIterator[GrpcQuotaSource]:
    async with aclosing(ControlLink(planes[1], None)) as link:
        yield GrpcQuotaSource(link)


async def test_what_was_returned_is_not_returned_twice(
    planes: tuple[list[Plane], list[str]], source: GrpcQuotaSource
) -> None:
    (first, second), _ = planes
    assert (await source.lease(REQUEST)).window == 3
    assert first.asked == [REQUEST]
    first.failure = grpc.StatusCode.UNAVAILABLE
    await source.lease(REQUEST)
    # What was returned or used may have been heard by the first; what is owed is said again.
    (again,) = second.asked[0].demands
    assert (again.returned, again.used, again.debt) == (0, 0, 5)
    await source.lease(REQUEST)
    assert second.asked[1] == REQUEST


@pytest.mark.parametrize("failure", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED])
async def test_when_none_answers_it_says_so(
    planes: tuple[list[Plane], list[str]], source: GrpcQuotaSource, failure: grpc.StatusCode
) -> None:
    for plane in planes[0]:
        plane.failure = failure
    with pytest.raises(LinkDown, match=f"{failure.name}: told to"):
        await source.lease(REQUEST)
    for plane in planes[0]:
        plane.failure = None
    assert (await source.lease(REQUEST)).remaining_ms == 500


async def test_an_answer_that_does_not_fit_is_none(
    planes: tuple[list[Plane], list[str]], source: GrpcQuotaSource
) -> None:
    for plane in planes[0]:
        plane.grants = 2
    with pytest.raises(LinkDown, match="does not fit"):
        await source.lease(REQUEST)
