"""The quota service: unpacks what workers need, and packs what they get.

Whoever connects is a worker, as with `snapshots.servicer`. After: `quota`.
"""

from typing import Any

import grpc
from modelserving.worker.v1 import quota_service_pb2_grpc
from modelserving.worker.v1.quota_service_pb2 import (
    LeaseQuotaRequest,
    LeaseQuotaResponse,
    QuotaDemand,
    QuotaGrant,
)

from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.limits.quota import Demand, Quota

_Context = grpc.aio.ServicerContext[LeaseQuotaRequest, LeaseQuotaResponse]


class QuotaServicer(quota_service_pb2_grpc.QuotaServiceServicer):
    """Serves `QuotaService` to workers."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota

    async def LeaseQuota(self, request: LeaseQuotaRequest, context: _Context) -> LeaseQuotaResponse:
        """Lease quota of many counters at once."""
        demands = [_demand(item) for item in request.demands]
        if not _are_valid(request.worker_id, demands):
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                "A worker id, no counter twice, and no negative number.",
            )
        try:
            lease = await self._quota.lease(request.worker_id, demands)
        except StoreUnavailable as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        return LeaseQuotaResponse(
            window=lease.window,
            remaining_ms=lease.remaining_ms,
            grants=[
                QuotaGrant(
                    granted=item.granted,
                    remaining=item.remaining,
                    unsettled=item.unsettled,
                    debt=item.debt,
                    share=item.share,
                )
                for item in lease.grants
            ],
        )


def _demand(item: QuotaDemand) -> Demand:
    return Demand(
        item.key,
        item.limit,
        item.needed,
        item.wanted,
        item.returned,
        item.returned_window,
        item.debt,
        item.used,
        item.rate,
    )


def _are_valid(worker_id: str, demands: list[Demand]) -> bool:
    numbers: Any = (
        number
        for demand in demands
        for number in (
            demand.limit,
            demand.needed,
            demand.wanted,
            demand.returned,
            demand.debt,
            demand.used,
            demand.rate,
        )
    )
    keys = {demand.key for demand in demands}
    return bool(worker_id) and len(keys) == len(demands) and all(number >= 0 for number in numbers)
