"""The metrics service: takes what workers have counted.

Whoever connects is a worker, as with `snapshots.servicer`. After: `metrics`.
"""

import grpc
from modelserving.worker.v1 import metrics_service_pb2_grpc
from modelserving.worker.v1.metrics_service_pb2 import (
    ReportMetricsRequest,
    ReportMetricsResponse,
)

from modelplane.control_plane.endpoints.metrics import EndpointMetrics
from modelplane.control_plane.errors import StoreUnavailable

_Context = grpc.aio.ServicerContext[ReportMetricsRequest, ReportMetricsResponse]


class MetricsServicer(metrics_service_pb2_grpc.MetricsServiceServicer):
    """Serves `MetricsService` to workers."""

    def __init__(self, metrics: EndpointMetrics) -> None:
        self._metrics = metrics

    async def ReportMetrics(
        self, request: ReportMetricsRequest, context: _Context
    ) -> ReportMetricsResponse:
        """Add what a worker has counted."""
        if not request.reporter_id or request.sequence < 1:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                "A report needs the reporter's id and a number from 1 on.",
            )
        try:
            await self._metrics.add(request.reporter_id, request.sequence, request.endpoints)
        except StoreUnavailable as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        return ReportMetricsResponse()
