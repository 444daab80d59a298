"""The server that workers and launchers alone reach: streams, quota, metrics and usage.

Before: `serving`. After: `hosting`, `snapshots`, `limits`, `endpoints.metrics`, `usage.intake`.
"""

import grpc
from modelserving.launcher.v1.launcher_service_pb2_grpc import (
    add_LauncherServiceServicer_to_server,
)
from modelserving.worker.v1.metrics_service_pb2_grpc import add_MetricsServiceServicer_to_server
from modelserving.worker.v1.quota_service_pb2_grpc import add_QuotaServiceServicer_to_server
from modelserving.worker.v1.usage_service_pb2_grpc import (
    add_UsageLedgerServiceServicer_to_server,
)
from prometheus_client import CollectorRegistry

from modelplane.adapters.shared.rpc.server import Health, new_server
from modelplane.adapters.shared.rpc.services import LAUNCHER_SERVICES, WORKER_SERVICES
from modelplane.control_plane.clock import system_clock
from modelplane.control_plane.endpoints.metrics import EndpointMetrics
from modelplane.control_plane.endpoints.metrics_servicer import MetricsServicer
from modelplane.control_plane.limits.quota import Quota
from modelplane.control_plane.limits.quota_servicer import QuotaServicer
from modelplane.control_plane.server.background import Background
from modelplane.control_plane.server.hosting import start_hosting
from modelplane.control_plane.server.internal_callers import InternalCallers
from modelplane.control_plane.server.push import Push
from modelplane.control_plane.server.vault import Vault
from modelplane.control_plane.settings import Settings
from modelplane.control_plane.shared_clock import lease_clock
from modelplane.control_plane.snapshots.servicer import SnapshotServicer, add_snapshot_servicer
from modelplane.control_plane.usage.intake import UsageIntake
from modelplane.control_plane.usage.intake_servicer import UsageIntakeServicer
from modelplane.control_plane.usage.totals import UsageTotals

# The names in the certificates of those who may call (`deploy/certificates.py`).
_CALLERS = {
    **{str(service.full_name): "worker" for service in WORKER_SERVICES},
    **{str(service.full_name): "launcher" for service in LAUNCHER_SERVICES},
}


def build_internal(
    settings: Settings,
    vault: Vault,
    push: Push,
    health: Health,
    registry: CollectorRegistry,
    background: Background,
) -> grpc.aio.Server:
    """Return the server; what it takes in is kept in order by loops of `background`."""
    database = vault.database
    guard = [InternalCallers(_CALLERS)] if settings.tls else []
    server = new_server(list(_CALLERS), health.servicer, guard)
    hosting = start_hosting(settings, vault, push, registry, background)
    add_LauncherServiceServicer_to_server(hosting.launchers, server)
    add_snapshot_servicer(
        SnapshotServicer(push.cache, push.watchers, push.rollout, hosting.demand), server
    )
    quota = Quota(database, lease_clock(database))
    add_QuotaServiceServicer_to_server(QuotaServicer(quota), server)
    metrics = EndpointMetrics(database, system_clock)
    add_MetricsServiceServicer_to_server(MetricsServicer(metrics), server)
    intake = UsageIntake(
        database,
        system_clock,
        retention_days=settings.usage_retention_days,
        lost_seconds=settings.usage_lost_seconds,
    )
    totals = UsageTotals(database, system_clock, retention_days=settings.usage_retention_days)
    background.begin(intake.run, totals.run)
    add_UsageLedgerServiceServicer_to_server(UsageIntakeServicer(intake), server)
    return server
