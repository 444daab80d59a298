"""RPC shell of the deployment as a whole: unpack, call `workers`, pack."""

from typing import Any

import grpc
from modelserving.v1 import deployment_service_pb2 as pb
from modelserving.v1.deployment_service_pb2_grpc import DeploymentServiceServicer

from modelplane.adapters.shared.release import VERSION
from modelplane.control_plane.deployment.workers import Workers
from modelplane.control_plane.principal import current_principal
from modelplane.control_plane.settings import Settings

_Context = grpc.aio.ServicerContext[Any, Any]


class DeploymentServicer(DeploymentServiceServicer):
    """Answers `/api/2.0/deployment` and `/api/2.0/workers`."""

    def __init__(self, settings: Settings, workers: Workers) -> None:
        self._deployment = _describe(settings)
        self._workers = workers

    async def GetDeployment(
        self, request: pb.GetDeploymentRequest, context: _Context
    ) -> pb.Deployment:
        """Read what the deployment is and can do."""
        return self._deployment

    async def ListWorkers(
        self, request: pb.ListWorkersRequest, context: _Context
    ) -> pb.ListWorkersResponse:
        """List the connected workers."""
        fleet = await self._workers.list_all(current_principal.get())
        return pb.ListWorkersResponse(
            newest_revision=str(fleet.newest_revision),
            workers=[
                pb.Worker(
                    worker_id=worker.worker_id,
                    build=worker.build,
                    replica_id=worker.replica_id,
                    applied_revision=str(worker.acked_revision),
                    up_to_date=worker.acked_revision >= fleet.newest_revision,
                    connected_time=worker.connected_ms,
                )
                for worker in fleet.workers
            ],
        )


def _describe(settings: Settings) -> pb.Deployment:
    features = {
        "hosted_models": settings.registry or settings.foundation_models,
        "payload_tables": settings.tables_root,
        "safety_judge": settings.safety_judge,
        "topics_judge": settings.topics_judge,
    }
    return pb.Deployment(
        version=VERSION,
        features=[name for name, setting in features.items() if setting],
        usage_retention_days=settings.usage_retention_days,
        audit_retention_days=settings.audit_retention_days,
    )
