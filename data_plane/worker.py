"""Puts a worker together, but for the host that carries its calls.

`server.py` gives it that.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from modelplane.adapters.providers.http.client import Http1Transport
from modelplane.adapters.providers.http1.pool import client_tls
from modelplane.adapters.shared.egress import parse_policy
from modelplane.adapters.shared.release import VERSION
from modelplane.adapters.shared.rpc.control_link import ControlLink
from modelplane.adapters.shared.telemetry import log_fields
from modelplane.data_plane.accounting import Accountant, Telemetry
from modelplane.data_plane.bodies import Bodies
from modelplane.data_plane.hosting.groups import Groups
from modelplane.data_plane.hosting.waiting_metrics import show_waiting
from modelplane.data_plane.hosts.grpc.http_body import HTTP_BODY_RPCS
from modelplane.data_plane.hosts.typed.rpcs import TYPED_RPCS
from modelplane.data_plane.invocation import Inference
from modelplane.data_plane.limits.gate import LimitGate
from modelplane.data_plane.limits.quota_contact import Contact, WhenAway
from modelplane.data_plane.limits.quota_leases import QuotaLeases
from modelplane.data_plane.limits.quota_metrics import QuotaMetrics
from modelplane.data_plane.limits.quota_source import GrpcQuotaSource
from modelplane.data_plane.limits.throughput import ThroughputGate
from modelplane.data_plane.payloads.journal import PayloadJournal
from modelplane.data_plane.payloads.log import PayloadLog
from modelplane.data_plane.payloads.metrics import PayloadMetrics
from modelplane.data_plane.process import Clocks, cpu_seconds
from modelplane.data_plane.settings import Settings
from modelplane.data_plane.snapshots.config_metrics import ConfigMetrics
from modelplane.data_plane.snapshots.readiness import TICK_SECONDS, Readiness
from modelplane.data_plane.snapshots.snapshot import Snapshots
from modelplane.data_plane.snapshots.watcher import SnapshotWatcher, Source
from modelplane.data_plane.telemetry.guardrail_metrics import GuardrailMetrics
from modelplane.data_plane.telemetry.meters import Meters
from modelplane.data_plane.telemetry.metrics import Metrics
from modelplane.data_plane.telemetry.metrics_reporter import GrpcSink, MetricsReporter
from modelplane.data_plane.upstreams.attempt_metrics import AttemptMetrics
from modelplane.data_plane.upstreams.attempts import Attempts
from modelplane.data_plane.upstreams.circuit import Circuits
from modelplane.data_plane.upstreams.hosted_relay import HostedRelay, HostedTimeouts
from modelplane.data_plane.upstreams.relay import Relay, Timeouts
from modelplane.data_plane.upstreams.upstream import Upstream
from modelplane.data_plane.usage.journal import Journal
from modelplane.data_plane.usage.journal_metrics import JournalMetrics
from modelplane.data_plane.usage.ledger import UsageLedger
from modelplane.data_plane.usage.shipper import GrpcUsageSink, UsageShipper

_log = logging.getLogger(__name__)
# So long verdicts are waited for that no caller waits for.
_VERDICT_SECONDS = 5.0
RPCS = (*HTTP_BODY_RPCS, *TYPED_RPCS)


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker without a host.

    Attributes:
        inference: The service that answers calls.
        snapshots: What it serves from.
        readiness: Whether it may be sent traffic.
        watcher: Follows the configuration.
        transports: Connect to providers, and to replicas.
    """

    inference: Inference
    snapshots: Snapshots
    readiness: Readiness
    watcher: SnapshotWatcher
    transports: tuple[Http1Transport, ...]


@asynccontextmanager
async def assembled(
    settings: Settings,
    registry: CollectorRegistry,
    clocks: Clocks,
    wall_ms: Callable[[], float],
) -> AsyncIterator[Worker]:
    """Yield a worker; on leaving, close what it holds open.

    Args:
        settings: Its settings.
        registry: Receives its metrics.
        clocks: Time and chance.
        wall_ms: Wall time, milliseconds since the epoch.

    Raises:
        ValueError: A setting is malformed.
        OSError: A TLS file cannot be read, or the journal cannot be made.
    """
    snapshots = Snapshots(_groups(settings, registry, clocks))
    metrics = Metrics(registry, lambda name: name in snapshots.current.names)
    readiness = Readiness(clocks.monotonic, cpu_seconds)
    source = Source(_link(settings), settings.worker_id, VERSION)
    watcher = SnapshotWatcher(
        source, snapshots, readiness, ConfigMetrics(registry), clocks, metrics.forget
    )
    async with (
        _sending(settings, snapshots) as (transport, inside),
        _recording(settings, registry, clocks, wall_ms) as ledger,
        _logging(settings, registry, clocks, wall_ms) as payloads,
        _metering(settings, clocks) as meters,
        _exporting(settings, wall_ms) as telemetry,
    ):
        looked = GuardrailMetrics(registry)
        accountant = Accountant(metrics, meters, ledger, clocks.monotonic, telemetry, looked)
        upstream = Upstream(transport, lambda: wall_ms() / 1000)
        limiting = _limiting(settings, registry, clocks, meters)
        async with aclosing(upstream), limiting as (gate, provisioned):
            bodies = Bodies(settings.bodies_max_mib << 20)
            metrics.bodies = lambda: bodies.held_bytes
            relay = Relay(upstream, accountant, _timeouts(settings), bodies.hold)
            circuits = Circuits(clocks.monotonic, clocks.random, settings.circuit_failures)
            tried = AttemptMetrics(registry)
            held = _hosted_timeouts(settings)
            hosted = HostedRelay(inside, snapshots, accountant, tried, provisioned, held)
            attempts = Attempts(relay, hosted, circuits, tried, clocks.random)
            inference = Inference(snapshots, attempts, gate, accountant, wall_ms, bodies, payloads)
            try:
                yield Worker(inference, snapshots, readiness, watcher, (transport, inside))
            finally:
                await inference.finish(_VERDICT_SECONDS)


def _groups(settings: Settings, registry: CollectorRegistry, clocks: Clocks) -> Groups:
    groups = Groups(clocks.random, settings.hold_max_mib << 20)
    show_waiting(groups, registry)
    return groups


@asynccontextmanager
async def _sending(
    settings: Settings, snapshots: Snapshots
) -> AsyncIterator[tuple[Http1Transport, Http1Transport]]:
    """Yield what sends to providers, and what sends to replicas of hosted models.

    Where providers are is said by users, and so is bounded; where replicas are, by the control
    plane alone, and no provider is there.
    """
    egress = parse_policy(settings.allowed_upstreams, settings.own_addresses)

    def allows(host: str, address: str, port: int) -> bool:
        return egress.allows(host, address, port, snapshots.groups.addresses())

    # To read all authorities takes a while.
    trusted = client_tls()
    async with (
        Http1Transport(settings.origins, allows, tls=trusted) as transport,
        Http1Transport(tls=trusted) as inside,
    ):
        yield transport, inside


def _timeouts(settings: Settings) -> Timeouts:
    return Timeouts(
        settings.request_timeout_seconds, settings.stream_idle_seconds, settings.stream_seconds
    )


def _hosted_timeouts(settings: Settings) -> HostedTimeouts:
    return HostedTimeouts(
        settings.hold_seconds, settings.evaluation_seconds, settings.stream_idle_seconds
    )


def _link(settings: Settings) -> ControlLink:
    return ControlLink(settings.targets, settings.tls)


@asynccontextmanager
async def _limiting(
    settings: Settings, registry: CollectorRegistry, clocks: Clocks, meters: Meters
) -> AsyncIterator[tuple[LimitGate, ThroughputGate]]:
    """Yield the gates of endpoints and of entities.

    On leaving, when no call is in flight any longer, return what they hold.
    """
    metrics = QuotaMetrics(registry)
    contact = Contact(WhenAway(settings.limits_when_away), settings.limits_away_seconds)
    async with aclosing(_link(settings)) as link:
        source = GrpcQuotaSource(link)
        leases = QuotaLeases(settings.worker_id, source, contact, metrics, clocks)
        background = [asyncio.create_task(leases.run()), asyncio.create_task(leases.tick())]
        try:
            yield (
                LimitGate(leases, contact, metrics, clocks.monotonic, refused=meters.refuse),
                ThroughputGate(leases, metrics, clocks.monotonic),
            )
        finally:
            for task in background:
                task.cancel()
            await asyncio.wait(background)
            await leases.aclose()


@asynccontextmanager
async def _recording(
    settings: Settings,
    registry: CollectorRegistry,
    clocks: Clocks,
    wall_ms: Callable[[], float],
) -> AsyncIterator[UsageLedger]:
    """Yield the ledger; on leaving, when no call is in flight any longer, ship what it holds."""
    metrics = JournalMetrics(registry)
    root = Path(settings.journal_dir)
    max_bytes = settings.journal_max_mib << 20
    journal = Journal(root, metrics, clocks.monotonic, max_bytes=max_bytes)
    async with aclosing(_link(settings)) as link:
        shipper = UsageShipper(journal, root, GrpcUsageSink(link), clocks, metrics)
        background = asyncio.create_task(shipper.run())
        try:
            yield UsageLedger(journal, clocks.monotonic, wall_ms)
        finally:
            background.cancel()
            await asyncio.wait([background])
            await shipper.finish()
            journal.close()


@asynccontextmanager
async def _logging(
    settings: Settings,
    registry: CollectorRegistry,
    clocks: Clocks,
    wall_ms: Callable[[], float],
) -> AsyncIterator[PayloadLog]:
    """Yield what records payloads; on leaving, when no call is in flight any longer, seal it."""
    journal = PayloadJournal(
        Path(settings.payload_dir),
        PayloadMetrics(registry),
        clocks.monotonic,
        max_bytes=settings.payload_max_mib << 20,
        seal_seconds=settings.payload_seal_seconds,
    )
    background = asyncio.create_task(journal.run(clocks.sleep))
    try:
        yield PayloadLog(journal, clocks.monotonic, wall_ms, settings.payload_bytes)
    finally:
        background.cancel()
        await asyncio.wait([background])
        await journal.finish()


@asynccontextmanager
async def _metering(settings: Settings, clocks: Clocks) -> AsyncIterator[Meters]:
    """Yield what counts; on leaving, when no call is in flight any longer, report the rest."""
    meters = Meters()
    async with aclosing(_link(settings)) as link:
        reporter = MetricsReporter(meters, GrpcSink(link), clocks.random, clocks.sleep)
        background = asyncio.create_task(reporter.run())
        try:
            yield meters
        finally:
            background.cancel()
            await asyncio.wait([background])
            await reporter.report()


@asynccontextmanager
async def _exporting(
    settings: Settings, wall_ms: Callable[[], float]
) -> AsyncIterator[Telemetry | None]:
    """Yield what exports calls to a collector; None where there is no collector."""
    if settings.collector is None:
        yield None
        return
    try:
        from modelplane.data_plane.telemetry.open_telemetry import Collector, exporting  # noqa: PLC0415 - see the module
    except ImportError as error:
        raise ValueError(
            "MODELPLANE_OTLP_ENDPOINT needs OpenTelemetry: pip install 'modelplane[otel]'."
        ) from error
    collector = Collector(*settings.collector, settings.worker_id, VERSION)
    async with exporting(collector, wall_ms) as telemetry:
        yield telemetry


@asynccontextmanager
async def following(worker: Worker) -> AsyncIterator[None]:
    """Follow the configuration; a worker that fails meanwhile is not ready."""
    async with asyncio.TaskGroup() as tasks:
        background = [
            tasks.create_task(worker.watcher.run()),
            tasks.create_task(_tick(worker.readiness)),
        ]
        try:
            yield
        finally:
            worker.readiness.drain()
            for task in background:
                task.cancel()


async def _tick(readiness: Readiness) -> None:
    """Let readiness know that the process runs, and log when it changes its mind."""
    last = ""
    while True:
        obstacle = readiness.obstacle()
        if obstacle != last:
            _log.info("readiness changed", extra=log_fields(ready=not obstacle, why=obstacle))
            last = obstacle
        await asyncio.sleep(TICK_SECONDS)
