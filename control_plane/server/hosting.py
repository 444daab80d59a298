"""The parts that have hosted models run, by the launchers that connect here.

Before: `serving`. After: `hosting`.
"""

from dataclasses import dataclass
from functools import partial

from modelserving.worker.v1.hosting_pb2 import GroupPhase
from prometheus_client import CollectorRegistry, Gauge

from modelplane.control_plane.clock import system_clock
from modelplane.control_plane.endpoints.metrics import EndpointMetrics
from modelplane.control_plane.hosting.demand import DemandIntake
from modelplane.control_plane.hosting.engine_figures import EngineNotes
from modelplane.control_plane.hosting.launcher_servicer import LauncherServicer
from modelplane.control_plane.hosting.measurements import Measurements
from modelplane.control_plane.hosting.pool import Pool
from modelplane.control_plane.hosting.scaling import Scaler, ScaleSettings
from modelplane.control_plane.hosting.specs import Specs, SpecSettings
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.server.background import Background
from modelplane.control_plane.server.push import Push
from modelplane.control_plane.server.registries import registry_place
from modelplane.control_plane.server.vault import Vault
from modelplane.control_plane.settings import Settings
from modelplane.control_plane.shared_clock import lease_clock
from modelplane.control_plane.snapshots.cache import SnapshotCache

_PREFIX = "GROUP_PHASE_"


@dataclass(frozen=True)
class Hosting:
    """What launchers are connected to, and what takes the demand of workers."""

    launchers: LauncherServicer
    demand: DemandIntake


def start_hosting(
    settings: Settings,
    vault: Vault,
    push: Push,
    registry: CollectorRegistry,
    background: Background,
) -> Hosting:
    """Return the parts, and keep the groups of replicas in step with what is asked of them.

    Args:
        settings: Settings in force.
        vault: Where everything is kept.
        push: Brings changes to the workers.
        registry: Where the metrics go.
        background: Runs the loops.
    """
    database, cache = vault.database, push.cache
    clock = lease_clock(database)
    measurements = Measurements(database, clock, settings.launcher_pool)
    specs = Specs(CredentialResolver(vault.sealer), measurements, _spec_settings(settings))
    engines = EngineNotes(EndpointMetrics(database, system_clock).note_engines)
    pool = Pool(settings.launcher_pool, database, specs, measurements, clock, engines)
    launchers = LauncherServicer(pool)
    # What this process commits is told at once; what others do, when the cache has heard of it.
    database.on_commit(launchers.hint)
    cache.on_change(launchers.hint)
    demand = DemandIntake(database, clock, cache.group, registry)
    scaler = Scaler(
        database,
        pool,
        clock,
        lambda: launchers.is_active,
        lambda: cache.holds_groups,
        ScaleSettings(
            down_ms=int(settings.scale_down_seconds * 1000),
            zero_ms=int(settings.scale_to_zero_seconds * 1000),
        ),
    )
    background.at_end(launchers.aclose)
    background.begin(demand.run, demand.run_wakes, scaler.run)
    _publish_gauges(cache, launchers, registry)
    _publish_engines(engines, launchers, registry)
    return Hosting(launchers, demand)


def _spec_settings(settings: Settings) -> SpecSettings:
    return SpecSettings(
        registry=registry_place(settings),
        start_deadline_ms=int(settings.start_deadline_seconds * 1000),
        evaluation_deadline_ms=int(settings.evaluation_seconds * 1000),
        calibration_ms=int(settings.calibration_seconds * 1000),
    )


def _publish_gauges(
    cache: SnapshotCache, launchers: LauncherServicer, registry: CollectorRegistry
) -> None:
    groups = Gauge(
        "modelplane_groups",
        "Groups of replicas of hosted models, by phase.",
        ["phase"],
        registry=registry,
    )
    for phase in GroupPhase.values()[1:]:
        name = GroupPhase.Name(phase).removeprefix(_PREFIX).lower()
        groups.labels(name).set_function(partial(_count, cache, phase))
    Gauge(
        "modelplane_group_replicas",
        "Replicas of hosted models that take requests.",
        registry=registry,
    ).set_function(lambda: sum(len(group.replicas) for group in cache.groups()))
    Gauge(
        "modelplane_launchers", "Launchers connected to this replica.", registry=registry
    ).set_function(lambda: launchers.launchers)


def _publish_engines(
    engines: EngineNotes, launchers: LauncherServicer, registry: CollectorRegistry
) -> None:
    requests = Gauge(
        "modelplane_engine_requests",
        "Requests at engines of hosted language models, as their launcher connected here tells.",
        ["state"],
        registry=registry,
    )

    def total(state: str) -> int:
        told = engines.newest if launchers.is_active else ()
        return sum(max(0, getattr(one, f"requests_{state}")) for one in told)

    for state in ("running", "waiting"):
        requests.labels(state).set_function(partial(total, state))


def _count(cache: SnapshotCache, phase: int) -> int:
    return sum(group.phase == phase for group in cache.groups())
