"""The metrics of a launcher: made when they are asked for, in the event loop that runs all.

`counts.py` has what has happened, the backend what runs, `service.py` what should.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from modelserving.launcher.v1 import launcher_service_pb2 as pb
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from modelplane.launcher.backend import Backend
from modelplane.launcher.counts import Counts

_PHASES = {
    pb.REPLICA_PHASE_STARTING: "starting",
    pb.REPLICA_PHASE_READY: "ready",
    pb.REPLICA_PHASE_DRAINING: "draining",
}
_PROGRESSES = {
    pb.GROUP_PROGRESS_FETCHING: "fetching",
    pb.GROUP_PROGRESS_BUILDING_ENVIRONMENT: "building_environment",
    pb.GROUP_PROGRESS_CONVERTING: "converting",
    pb.GROUP_PROGRESS_STARTING: "starting",
    pb.GROUP_PROGRESS_READY: "ready",
    pb.GROUP_PROGRESS_FAILED: "failed",
}


class Line(Protocol):
    """What is known of the line to the control planes."""

    @property
    def is_connected(self) -> bool:
        """Whether one answers."""

    @property
    def is_active(self) -> bool:
        """Whether this launcher is the one whose replicas take the requests."""

    @property
    def wanted(self) -> int:
        """How many replicas should run."""


def page_of(backend: Backend, line: Line) -> Callable[[], bytes]:
    """Return what returns the page, Prometheus text; it is asked in the event loop."""
    registry = CollectorRegistry()
    registry.register(_Metrics(backend, line))
    return lambda: generate_latest(registry)


class _Metrics(Collector):
    def __init__(self, backend: Backend, line: Line) -> None:
        self._backend = backend
        self._line = line

    def collect(self) -> Iterator[Metric]:
        """Yield all."""
        line = self._line
        yield _gauge(
            "modelplane_launcher_connected", "1 while a control plane answers.", line.is_connected
        )
        yield _gauge(
            "modelplane_launcher_active",
            "1 while its replicas take the pool's requests.",
            line.is_active,
        )
        yield _gauge(
            "modelplane_launcher_replicas_wanted", "Replicas that should run.", line.wanted
        )
        yield from _of_report(self._backend.report() or pb.Report())
        yield from _of_replicas(self._backend.counts)
        yield from _of_work(self._backend.counts)


def _of_report(report: pb.Report) -> Iterator[Metric]:
    """Yield what runs now."""
    replicas = [replica for group in report.groups for replica in group.replicas]
    phases = Counter(_PHASES.get(replica.phase, "starting") for replica in replicas)
    yield _gauges(
        "modelplane_launcher_replicas",
        "Replicas that run.",
        "phase",
        dict.fromkeys(_PHASES.values(), 0) | phases,
    )
    progresses = Counter(_PROGRESSES.get(group.progress, "starting") for group in report.groups)
    told = dict.fromkeys(_PROGRESSES.values(), 0) | progresses
    yield _gauges(
        "modelplane_launcher_groups", "Groups of replicas, by what is being done.", "progress", told
    )
    capacity = report.capacity
    memory = {
        "total": capacity.memory_bytes,
        "reserved": capacity.reserved_memory_bytes,
        "used": sum(replica.memory_bytes for replica in replicas),
    }
    yield _gauges("modelplane_launcher_memory_bytes", "Memory of replicas.", "of", memory)


def _of_replicas(counts: Counts) -> Iterator[Metric]:
    """Yield what has become of replicas."""
    starts = _counter(
        "modelplane_launcher_replica_starts", "Replicas that have become ready.", "engine"
    )
    seconds = _counter(
        "modelplane_launcher_replica_start_seconds", "Time that their starts took.", "engine"
    )
    for engine, count in counts.starts.items():
        starts.add_metric([engine], count)
        seconds.add_metric([engine], counts.start_seconds[engine])
    yield starts
    yield seconds
    ends = _counter(
        "modelplane_launcher_replica_ends",
        "Processes of replicas that have ended.",
        "engine",
        "outcome",
    )
    for key, count in counts.ends.items():
        ends.add_metric(list(key), count)
    yield ends
    failures = _counter(
        "modelplane_launcher_group_failures", "Groups of replicas that were given up.", "engine"
    )
    for engine, count in counts.failures.items():
        failures.add_metric([engine], count)
    yield failures


def _of_work(counts: Counts) -> Iterator[Metric]:
    """Yield what is done before replicas can start."""
    kinds = {"fetch": counts.fetches, "build": counts.builds, "conversion": counts.conversions}
    now = GaugeMetricFamily(
        "modelplane_launcher_work",
        "Fetches, builds and conversions under way, and those that wait for their turn.",
        labels=("kind", "state"),
    )
    ended = _counter("modelplane_launcher_work_ended", "Those that have ended.", "kind", "result")
    seconds = _counter("modelplane_launcher_work_seconds", "Time that these took.", "kind")
    for kind, work in kinds.items():
        now.add_metric([kind, "running"], work.running)
        now.add_metric([kind, "waiting"], work.waiting)
        for result, count in work.ended.items():
            ended.add_metric([kind, result], count)
        seconds.add_metric([kind], work.seconds)
    yield now
    yield ended
    yield seconds


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for value, count in values.items():
        family.add_metric([value], count)
    return family


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, labels=labels)
