"""The server of the public API, which Envoy hands the calls of management to.

Before: `serving`. After: `interceptor`, which is around each call, and the servicers.
"""

import grpc
from modelserving.v1.audit_service_pb2_grpc import add_AuditServiceServicer_to_server
from modelserving.v1.change_service_pb2_grpc import add_ChangeServiceServicer_to_server
from modelserving.v1.deployment_service_pb2_grpc import add_DeploymentServiceServicer_to_server
from modelserving.v1.endpoint_service_pb2_grpc import add_EndpointServiceServicer_to_server
from modelserving.v1.permission_service_pb2_grpc import add_PermissionServiceServicer_to_server
from modelserving.v1.proto_service_pb2_grpc import add_ProtoServiceServicer_to_server
from modelserving.v1.rollout_service_pb2_grpc import add_RolloutServiceServicer_to_server
from modelserving.v1.secret_service_pb2_grpc import add_SecretServiceServicer_to_server
from modelserving.v1.traffic_service_pb2_grpc import add_TrafficServiceServicer_to_server
from modelserving.v1.ui_service_pb2_grpc import add_UiServiceServicer_to_server
from modelserving.v1.usage_service_pb2_grpc import add_UsageServiceServicer_to_server
from prometheus_client import CollectorRegistry

from modelplane.adapters.shared.egress import parse_policy
from modelplane.adapters.shared.rpc.server import Health, new_server
from modelplane.adapters.shared.rpc.services import PUBLIC_SERVICES
from modelplane.control_plane.audit.log import AuditLog
from modelplane.control_plane.audit.reader import AuditReader
from modelplane.control_plane.audit.servicer import AuditServicer
from modelplane.control_plane.clock import system_clock
from modelplane.control_plane.deployment.servicer import DeploymentServicer
from modelplane.control_plane.endpoints.change_servicer import ChangeServicer
from modelplane.control_plane.endpoints.config_history import ConfigHistory
from modelplane.control_plane.endpoints.foundation import FoundationEndpoints
from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.metrics import EndpointMetrics
from modelplane.control_plane.endpoints.model_logs import ModelLogs
from modelplane.control_plane.endpoints.permission_servicer import PermissionServicer
from modelplane.control_plane.endpoints.permissions import EndpointPermissions
from modelplane.control_plane.endpoints.quotas import Quotas
from modelplane.control_plane.endpoints.rollout_servicer import RolloutServicer
from modelplane.control_plane.endpoints.rollouts import Rollouts
from modelplane.control_plane.endpoints.servicer import EndpointServicer
from modelplane.control_plane.endpoints.setting_changes import SettingChanges
from modelplane.control_plane.endpoints.trial import Trial
from modelplane.control_plane.hosting.free_capacity import FreeCapacity
from modelplane.control_plane.hosting.measurements import Measurements
from modelplane.control_plane.interceptor import Interceptor
from modelplane.control_plane.protos.archive import build_archive
from modelplane.control_plane.protos.proto_servicer import ProtoServicer
from modelplane.control_plane.secrets.scope_acls import ScopeAcls
from modelplane.control_plane.secrets.scopes import Secrets
from modelplane.control_plane.secrets.servicer import SecretServicer
from modelplane.control_plane.server.background import Background
from modelplane.control_plane.server.identities import add_identities, start_authenticator
from modelplane.control_plane.server.judges import default_judges
from modelplane.control_plane.server.push import Push
from modelplane.control_plane.server.registries import build_catalogue, build_pinning
from modelplane.control_plane.server.vault import Vault
from modelplane.control_plane.settings import Settings
from modelplane.control_plane.shared_clock import lease_clock
from modelplane.control_plane.traffic.limit_use import LimitsInUse
from modelplane.control_plane.traffic.series import Series
from modelplane.control_plane.traffic.traffic_servicer import TrafficServicer
from modelplane.control_plane.ui.assets import STATIC, load_assets
from modelplane.control_plane.ui.ui_servicer import UiServicer
from modelplane.control_plane.usage.prices import UsagePrices
from modelplane.control_plane.usage.reader import UsageReader
from modelplane.control_plane.usage.servicer import UsageServicer


async def start_api(
    settings: Settings,
    vault: Vault,
    push: Push,
    health: Health,
    registry: CollectorRegistry,
    background: Background,
) -> grpc.aio.Server:
    """Return the server, not started yet, and begin what goes on beside its calls.

    Args:
        settings: Settings in force.
        vault: Where everything is kept.
        push: Brings changes to the workers.
        health: Answers health checks.
        registry: Where the metrics go.
        background: Runs the loops.

    Raises:
        StoreUnavailable: The database does not answer.
        ValueError: A setting is malformed.
    """
    authenticator = await start_authenticator(settings, vault, push, background)
    audit_log = _start_audit_log(settings, vault, registry, background)
    interceptor = Interceptor(authenticator, audit_log, registry)
    # Reflection through Envoy's port is answered here, so it also describes the workers' services.
    names = [service.full_name for service in PUBLIC_SERVICES]
    api = new_server(names, health.servicer, [interceptor])
    await _add_endpoints(settings, vault, push, api)
    add_identities(settings, vault, push, api, registry, authenticator)
    secrets = Secrets(vault.database, vault.sealer, push.rollout, system_clock, vault.stores)
    add_SecretServiceServicer_to_server(SecretServicer(secrets, ScopeAcls(vault.database)), api)
    add_AuditServiceServicer_to_server(AuditServicer(AuditReader(vault.database)), api)
    prices = UsagePrices(vault.database, build_catalogue(settings))
    await prices.reconcile()
    usage = UsageServicer(UsageReader(vault.database), prices)
    add_UsageServiceServicer_to_server(usage, api)
    add_UiServiceServicer_to_server(UiServicer(load_assets(STATIC)), api)
    add_DeploymentServiceServicer_to_server(DeploymentServicer(settings, push.workers), api)
    watching = ChangeServicer(push.changes, authenticator.authenticate)
    add_ChangeServiceServicer_to_server(watching, api)
    add_ProtoServiceServicer_to_server(ProtoServicer(build_archive()), api)
    return api


def _start_audit_log(
    settings: Settings, vault: Vault, registry: CollectorRegistry, background: Background
) -> AuditLog:
    days = settings.audit_retention_days
    audit_log = AuditLog(vault.database, system_clock, registry, retention_days=days)
    background.begin(audit_log.run, audit_log.sweep)
    background.at_end(audit_log.close)
    return audit_log


async def _add_endpoints(
    settings: Settings, vault: Vault, push: Push, api: grpc.aio.Server
) -> None:
    database, rollout = vault.database, push.rollout
    judges = default_judges(settings)
    catalogue = build_catalogue(settings)
    clock = lease_clock(database)
    measurements = Measurements(database, clock, settings.launcher_pool)
    pinning = build_pinning(settings, catalogue, measurements)
    await FoundationEndpoints(database, pinning, catalogue, system_clock).reconcile()
    endpoints = Endpoints(
        database,
        vault.sealer,
        rollout,
        system_clock,
        egress=parse_policy(settings.allowed_upstreams, settings.own_addresses),
        source=vault.sync,
        quotas=Quotas(
            settings.max_endpoints, settings.max_endpoints_per_creator, settings.keep_versions
        ),
        pinning=pinning,
        free=FreeCapacity(database, clock, settings.launcher_pool),
        tables=bool(settings.tables_root),
        judges=judges,
    )
    changes = SettingChanges(
        database, vault.sealer, rollout, tables=bool(settings.tables_root), judges=judges
    )
    history = ConfigHistory(database)
    metrics = EndpointMetrics(database, system_clock)
    logs, trial = ModelLogs(database), Trial(database, endpoints)
    servicer = EndpointServicer(endpoints, changes, history, metrics, logs, pinning, trial)
    add_EndpointServiceServicer_to_server(servicer, api)
    add_RolloutServiceServicer_to_server(RolloutServicer(Rollouts(database, rollout)), api)
    traffic = TrafficServicer(Series(database, system_clock), LimitsInUse(database, clock))
    add_TrafficServiceServicer_to_server(traffic, api)
    permissions = EndpointPermissions(database, rollout)
    add_PermissionServiceServicer_to_server(PermissionServicer(permissions), api)
