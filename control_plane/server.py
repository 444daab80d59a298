"""The control plane's parts and how they are joined; `__main__` runs it.

Two ports: the public API behind Envoy, and the workers' watch streams, which Envoy never reaches.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc
from modelserving.v1 import inference_service_pb2, model_service_pb2
from modelserving.v1.audit_service_pb2_grpc import add_AuditServiceServicer_to_server
from modelserving.v1.client_secret_service_pb2_grpc import (
    add_ClientSecretServiceServicer_to_server,
)
from modelserving.v1.endpoint_service_pb2_grpc import add_EndpointServiceServicer_to_server
from modelserving.v1.identity_service_pb2_grpc import add_IdentityServiceServicer_to_server
from modelserving.v1.oauth_service_pb2_grpc import add_OAuthServiceServicer_to_server
from modelserving.v1.permission_service_pb2_grpc import add_PermissionServiceServicer_to_server
from modelserving.v1.secret_service_pb2_grpc import add_SecretServiceServicer_to_server
from modelserving.v1.token_service_pb2_grpc import add_TokenServiceServicer_to_server
from modelserving.v1.usage_service_pb2_grpc import add_UsageServiceServicer_to_server
from modelserving.worker.v1.metrics_service_pb2_grpc import add_MetricsServiceServicer_to_server
from modelserving.worker.v1.quota_service_pb2_grpc import add_QuotaServiceServicer_to_server
from modelserving.worker.v1.snapshot_service_pb2_grpc import (
    add_SnapshotServiceServicer_to_server,
)
from modelserving.worker.v1.usage_service_pb2_grpc import (
    add_UsageLedgerServiceServicer_to_server,
)
from prometheus_client import CollectorRegistry, Gauge

from modelplane.adapters.shared.egress import parse_policy
from modelplane.adapters.shared.rpc.server import Health, new_server, running
from modelplane.adapters.shared.rpc.tls import server_credentials
from modelplane.adapters.shared.settings import environment
from modelplane.control_plane.audit.log import AuditLog
from modelplane.control_plane.audit.reader import AuditTrail
from modelplane.control_plane.audit.servicer import AuditServicer
from modelplane.control_plane.clock import system_clock
from modelplane.control_plane.endpoints.config_history import ConfigHistory
from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.metrics import EndpointMetrics
from modelplane.control_plane.endpoints.metrics_servicer import MetricsServicer
from modelplane.control_plane.endpoints.permission_servicer import PermissionServicer
from modelplane.control_plane.endpoints.permissions import EndpointPermissions
from modelplane.control_plane.endpoints.servicer import EndpointServicer
from modelplane.control_plane.endpoints.setting_changes import EndpointSettings
from modelplane.control_plane.identity.authentication import Authenticator
from modelplane.control_plane.identity.client_secret_servicer import ClientSecretServicer
from modelplane.control_plane.identity.client_secrets import ClientSecrets
from modelplane.control_plane.identity.groups import Groups
from modelplane.control_plane.identity.identities import Identities
from modelplane.control_plane.identity.issuers import KnownIssuers
from modelplane.control_plane.identity.oauth import OAuth
from modelplane.control_plane.identity.oauth_servicer import OAuthServicer
from modelplane.control_plane.identity.outside_issuers import OutsideIssuers, parse_issuers
from modelplane.control_plane.identity.scim_servicer import IdentityServicer
from modelplane.control_plane.identity.token_servicer import TokenServicer
from modelplane.control_plane.identity.tokens import Tokens
from modelplane.control_plane.interceptor import Interceptor
from modelplane.control_plane.limits.quota import Quota
from modelplane.control_plane.limits.quota_servicer import QuotaServicer
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.secrets.encryption import Keyring, Sealer
from modelplane.control_plane.secrets.scope_acls import ScopeAcls
from modelplane.control_plane.secrets.scopes import Secrets
from modelplane.control_plane.secrets.servicer import SecretServicer
from modelplane.control_plane.secrets.signing import Signer, ensure_signing_key
from modelplane.control_plane.secrets.stores.base import SecretStore
from modelplane.control_plane.secrets.stores.declarations import opened_stores
from modelplane.control_plane.secrets.sync import SecretSync
from modelplane.control_plane.settings import Settings
from modelplane.control_plane.snapshots.builder import ResourceBuilder
from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.snapshots.feed import Feed
from modelplane.control_plane.snapshots.peers import NoPeers, PostgresqlPeers
from modelplane.control_plane.snapshots.rollout_driver import RolloutDriver
from modelplane.control_plane.snapshots.servicer import SnapshotServicer
from modelplane.control_plane.snapshots.watchers import Watchers
from modelplane.control_plane.snapshots.workers_only import WorkersOnly
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.identity.tokens import ensure_admin_token
from modelplane.control_plane.store.migrate import migrate
from modelplane.control_plane.store.notifications import listen
from modelplane.control_plane.usage.intake import UsageIntake
from modelplane.control_plane.usage.intake_servicer import UsageIntakeServicer
from modelplane.control_plane.usage.reader import Usage
from modelplane.control_plane.usage.servicer import UsageServicer

API_SERVICES = (
    "modelserving.v1.AuditService",
    "modelserving.v1.ClientSecretService",
    "modelserving.v1.EndpointService",
    "modelserving.v1.IdentityService",
    "modelserving.v1.OAuthService",
    "modelserving.v1.PermissionService",
    "modelserving.v1.SecretService",
    "modelserving.v1.TokenService",
    "modelserving.v1.UsageService",
)
INTERNAL_SERVICES = (
    "modelserving.worker.v1.MetricsService",
    "modelserving.worker.v1.QuotaService",
    "modelserving.worker.v1.SnapshotService",
    "modelserving.worker.v1.UsageLedgerService",
)
# Reflection through Envoy's port is answered here, so it also describes the workers' services.
REFLECTED_SERVICES = (
    *API_SERVICES,
    *(
        service.full_name
        for module in (inference_service_pb2, model_service_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
    ),
)


@dataclass(frozen=True)
class Ports:
    """Where the control plane listens."""

    api: int
    snapshot: int


@asynccontextmanager
async def serving(
    settings: Settings, keyring: Keyring, registry: CollectorRegistry
) -> AsyncIterator[Ports]:
    """Run the control plane and yield its ports; on leaving, drain and stop.

    Args:
        settings: Settings in force; the admin token must be set.
        keyring: Master keys, which wrap all secrets.
        registry: Where the metrics go.

    Raises:
        StoreUnavailable: The database does not answer.
    """
    async with AsyncExitStack() as stack:
        database = Database(settings.url)
        stack.push_async_callback(database.aclose)
        await migrate(database)
        sealer = Sealer(keyring)
        await ensure_admin_token(database, settings.admin_token, settings.admin_user, system_clock)
        await ensure_signing_key(database, sealer, system_clock)
        push = await _start_push(settings, database, CredentialResolver(sealer), registry, stack)
        secret_stores = await _start_secret_stores(settings, database, sealer, stack)
        vault = _Vault(database, sealer, secret_stores)
        ports = await _start_servers(settings, vault, push, registry, stack)
        yield ports


@dataclass(frozen=True)
class _Push:
    """The parts that bring configuration to the workers."""

    cache: SnapshotCache
    watchers: Watchers
    rollout: RolloutDriver


async def _start_push(
    settings: Settings,
    database: Database,
    resolver: CredentialResolver,
    registry: CollectorRegistry,
    stack: AsyncExitStack,
) -> _Push:
    cache = SnapshotCache(database, ResourceBuilder(resolver))
    await cache.load()
    watchers = Watchers()
    peers = (
        PostgresqlPeers(uuid.uuid4().hex, database, cache, watchers)
        if database.is_postgresql
        else NoPeers()
    )
    # Where there are endpoints there may be workers, which need a moment to reconnect.
    grace_ms = int(settings.reconnect_grace_seconds * 1000) if cache.holds_endpoints else 0
    rollout = RolloutDriver(
        database, watchers, peers, system_clock, hold_until_ms=system_clock() + grace_ms
    )
    feed = Feed(database, cache, settings.keep_events)
    _publish_gauges(cache, watchers, registry)

    database.on_commit(feed.hint)
    for hint in (rollout.hint, watchers.wake_all):
        cache.on_change(hint)
    watchers.on_move(rollout.hint)
    tasks = await stack.enter_async_context(asyncio.TaskGroup())
    loops = [feed.run(), rollout.run()]
    if isinstance(peers, PostgresqlPeers):
        cache.on_change(peers.hint)
        watchers.on_move(peers.hint)
        loops += [peers.run(), listen(database.url, [feed.hint, rollout.hint])]
        stack.push_async_callback(peers.leave)
    for task in [tasks.create_task(loop) for loop in loops]:
        stack.callback(task.cancel)
    return _Push(cache, watchers, rollout)


@dataclass(frozen=True)
class _SecretStores:
    """Other stores of secrets."""

    by_scope: Mapping[str, SecretStore]
    sync: SecretSync


@dataclass(frozen=True)
class _Vault:
    """Where everything is kept, and what opens it."""

    database: Database
    sealer: Sealer
    stores: _SecretStores


async def _start_secret_stores(
    settings: Settings, database: Database, sealer: Sealer, stack: AsyncExitStack
) -> _SecretStores:
    opened = opened_stores(settings.secret_stores, environment())
    stores = await stack.enter_async_context(opened)
    sync = SecretSync(database, sealer, stores, system_clock)
    await sync.declare()
    tasks = await stack.enter_async_context(asyncio.TaskGroup())
    stack.callback(tasks.create_task(sync.run(settings.secret_poll_seconds)).cancel)
    return _SecretStores(stores, sync)


async def _start_servers(
    settings: Settings,
    vault: _Vault,
    push: _Push,
    registry: CollectorRegistry,
    stack: AsyncExitStack,
) -> Ports:
    database = vault.database
    health = Health()
    issuers = await _start_issuers(settings, database, push.cache, stack)
    audit_log = await _start_audit_log(settings, database, registry, stack)
    interceptor = Interceptor(Authenticator(database, system_clock, issuers), audit_log, registry)
    api = new_server(REFLECTED_SERVICES, health.servicer, [interceptor])
    _add_endpoints(settings, vault, push.rollout, api)
    secrets = Secrets(database, vault.sealer, push.rollout, system_clock, vault.stores.by_scope)
    add_PermissionServiceServicer_to_server(
        PermissionServicer(EndpointPermissions(database, push.rollout)), api
    )
    add_SecretServiceServicer_to_server(SecretServicer(secrets, ScopeAcls(database)), api)
    _add_identities(settings, database, push.rollout, api)
    _add_login(vault, push.rollout, api)
    add_AuditServiceServicer_to_server(AuditServicer(AuditTrail(database)), api)
    internal = _new_internal_server(settings, database, push, health)
    await _start_usage(settings, database, api, internal, stack)
    snapshot_credentials = server_credentials(settings.tls) if settings.tls else None
    snapshot_port = await stack.enter_async_context(
        running(internal, settings.snapshot_listen, 1.0, snapshot_credentials)
    )
    # A watch stream never ends by itself, so it is not waited for.
    stack.callback(lambda: push.watchers.drop(list(push.watchers)))
    api_port = await stack.enter_async_context(
        running(api, settings.control_plane_listen, settings.drain_seconds)
    )
    await health.set_serving(serving=True)
    stack.push_async_callback(health.set_serving, serving=False)
    return Ports(api_port, snapshot_port)


def _add_endpoints(
    settings: Settings, vault: _Vault, rollout: RolloutDriver, api: grpc.aio.Server
) -> None:
    database = vault.database
    endpoints = Endpoints(
        database,
        vault.sealer,
        rollout,
        system_clock,
        egress=parse_policy(settings.allowed_upstreams),
        source=vault.stores.sync,
        prepare_timeout_ms=int(settings.prepare_timeout_seconds * 1000),
    )
    endpoint_settings = EndpointSettings(database, rollout)
    history = ConfigHistory(database)
    add_EndpointServiceServicer_to_server(
        EndpointServicer(
            endpoints, endpoint_settings, history, EndpointMetrics(database, system_clock)
        ),
        api,
    )


async def _start_usage(
    settings: Settings,
    database: Database,
    api: grpc.aio.Server,
    internal: grpc.aio.Server,
    stack: AsyncExitStack,
) -> None:
    intake = UsageIntake(
        database,
        system_clock,
        retention_days=settings.usage_retention_days,
        lost_seconds=settings.usage_lost_seconds,
    )
    add_UsageLedgerServiceServicer_to_server(UsageIntakeServicer(intake), internal)
    add_UsageServiceServicer_to_server(UsageServicer(Usage(database)), api)
    tasks = await stack.enter_async_context(asyncio.TaskGroup())
    stack.callback(tasks.create_task(intake.run()).cancel)


def _new_internal_server(
    settings: Settings, database: Database, push: _Push, health: Health
) -> grpc.aio.Server:
    """Return the server that workers alone reach."""
    guard = [WorkersOnly()] if settings.tls else []
    internal = new_server(INTERNAL_SERVICES, health.servicer, guard)
    add_SnapshotServiceServicer_to_server(
        SnapshotServicer(push.cache, push.watchers, push.rollout), internal
    )
    # A process alone has its own time; replicas have that of the database that they share.
    quota = Quota(database, None if database.is_postgresql else system_clock)
    add_QuotaServiceServicer_to_server(QuotaServicer(quota), internal)
    metrics = EndpointMetrics(database, system_clock)
    add_MetricsServiceServicer_to_server(MetricsServicer(metrics), internal)
    return internal


async def _start_audit_log(
    settings: Settings, database: Database, registry: CollectorRegistry, stack: AsyncExitStack
) -> AuditLog:
    days = settings.audit_retention_days
    audit_log = AuditLog(database, system_clock, registry, retention_days=days)
    stack.push_async_callback(audit_log.close)
    tasks = await stack.enter_async_context(asyncio.TaskGroup())
    for loop in (audit_log.run(), audit_log.sweep()):
        stack.callback(tasks.create_task(loop).cancel)
    return audit_log


def _add_identities(
    settings: Settings, database: Database, rollout: RolloutDriver, api: grpc.aio.Server
) -> None:
    admin = settings.admin_user
    identities = Identities(database, rollout, system_clock, admin_user=admin)
    groups = Groups(database, rollout, system_clock, admin_user=admin)
    add_IdentityServiceServicer_to_server(IdentityServicer(identities, groups), api)
    tokens = Tokens(database, rollout, system_clock)
    add_TokenServiceServicer_to_server(TokenServicer(tokens), api)


async def _start_issuers(
    settings: Settings, database: Database, cache: SnapshotCache, stack: AsyncExitStack
) -> KnownIssuers:
    outside = OutsideIssuers(database, parse_issuers(settings.oidc_issuers), system_clock)
    await outside.store()
    tasks = await stack.enter_async_context(asyncio.TaskGroup())
    stack.callback(tasks.create_task(outside.run()).cancel)
    return KnownIssuers(cache, system_clock, outside.want)


def _add_login(vault: _Vault, rollout: RolloutDriver, api: grpc.aio.Server) -> None:
    oauth = OAuth(vault.database, Signer(vault.sealer, system_clock), system_clock)
    add_OAuthServiceServicer_to_server(OAuthServicer(oauth), api)
    secrets = ClientSecrets(vault.database, rollout, system_clock)
    add_ClientSecretServiceServicer_to_server(ClientSecretServicer(secrets, system_clock), api)


def _publish_gauges(cache: SnapshotCache, watchers: Watchers, registry: CollectorRegistry) -> None:
    values = {
        "modelplane_revision": ("Newest revision pushed to workers.", lambda: cache.revision),
        "modelplane_workers": ("Workers connected to this replica.", lambda: len(watchers)),
        "modelplane_slowest_worker_revision": (
            "Revision that all connected workers have acknowledged.",
            lambda: watchers.slowest(default=cache.revision),
        ),
    }
    for name, (description, value) in values.items():
        Gauge(name, description, registry=registry).set_function(value)
