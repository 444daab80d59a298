"""RPC shell of rollouts: unpack, call `rollouts`."""

from typing import Any

import grpc
from modelserving.v1.rollout_pb2 import Rollout
from modelserving.v1.rollout_service_pb2 import GetServingEndpointRolloutRequest
from modelserving.v1.rollout_service_pb2_grpc import RolloutServiceServicer

from modelplane.control_plane.endpoints.rollouts import Rollouts
from modelplane.control_plane.principal import current_principal

_Context = grpc.aio.ServicerContext[Any, Any]


class RolloutServicer(RolloutServiceServicer):
    """Answers for the rollouts of serving endpoints."""

    def __init__(self, rollouts: Rollouts) -> None:
        self._rollouts = rollouts

    async def GetServingEndpointRollout(
        self, request: GetServingEndpointRolloutRequest, context: _Context
    ) -> Rollout:
        """Read how a version was rolled out."""
        return await self._rollouts.get(
            current_principal.get(), request.name, request.config_version
        )
