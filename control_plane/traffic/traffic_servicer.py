"""RPC shell of traffic: unpack, call `series` and `limit_use`."""

from typing import Any

import grpc
from modelserving.v1 import traffic_service_pb2 as pb
from modelserving.v1.traffic_service_pb2_grpc import TrafficServiceServicer

from modelplane.control_plane.principal import current_principal
from modelplane.control_plane.traffic.limit_use import LimitsInUse
from modelplane.control_plane.traffic.series import Series, Wanted

_Context = grpc.aio.ServicerContext[Any, Any]


class TrafficServicer(TrafficServiceServicer):
    """Answers for the traffic of serving endpoints."""

    def __init__(self, series: Series, limits: LimitsInUse) -> None:
        self._series = series
        self._limits = limits

    async def GetServingEndpointSeries(
        self, request: pb.GetServingEndpointSeriesRequest, context: _Context
    ) -> pb.EndpointSeries:
        """Read what served entities did, step by step."""
        wanted = Wanted(
            request.step_seconds if request.HasField("step_seconds") else 60,
            request.start_time if request.HasField("start_time") else None,
            request.end_time if request.HasField("end_time") else None,
        )
        return await self._series.read(current_principal.get(), request.name, wanted)

    async def GetLimitUse(self, request: pb.GetLimitUseRequest, context: _Context) -> pb.LimitUse:
        """Read what is used of an endpoint's limits."""
        return await self._limits.read(current_principal.get(), request.name)
