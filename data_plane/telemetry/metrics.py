"""The worker's Prometheus metrics.

`accounting.py` counts calls, `snapshot_watcher.py` reports on the configuration.
"""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


@dataclass(frozen=True, slots=True)
class _Bound:
    """The children of one endpoint, entity, task and status: looking them up costs more."""

    requests: Counter
    duration: Histogram


class Metrics:
    """Metrics of calls."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register with `registry`."""
        self._bound: dict[tuple[str, str, str, int], _Bound] = {}
        self._requests = Counter(
            "modelplane_requests",
            "Calls that ended, by the HTTP status that the caller saw.",
            ("endpoint", "served_entity", "task", "status"),
            registry=registry,
        )
        self._duration = Histogram(
            "modelplane_request_duration_seconds",
            "Time from the start of a call to its end.",
            ("endpoint",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.first_chunk = Histogram(
            "modelplane_first_chunk_seconds",
            "Time from the start of a streamed call to its first chunk.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.chunks = Counter(
            "modelplane_streamed_chunks", "Messages sent in streams.", registry=registry
        )
        self.in_flight = Gauge(
            "modelplane_requests_in_flight", "Calls being answered.", registry=registry
        )
        self.retries = Counter(
            "modelplane_retries", "Times that a served entity was asked again.", registry=registry
        )
        self.fallbacks = Counter(
            "modelplane_fallbacks", "Times that another served entity was asked.", registry=registry
        )
        self.circuit_changes = Counter(
            "modelplane_circuit_changes",
            "Circuits of upstreams that opened or closed.",
            ("state",),
            registry=registry,
        )
        self.upstream_errors = Counter(
            "modelplane_upstream_errors",
            "Errors at providers, by class.",
            ("provider", "error"),
            registry=registry,
        )

    def observe(self, endpoint: str, entity: str, task: str, status: int, seconds: float) -> None:
        """Count a call that ended."""
        key = (endpoint, entity, task, status)
        bound = self._bound.get(key)
        if bound is None:
            bound = self._bound[key] = _Bound(
                self._requests.labels(endpoint, entity, task, status),
                self._duration.labels(endpoint),
            )
        bound.requests.inc()
        bound.duration.observe(seconds)

    def observe_stream(self, chunks: int, first_chunk_seconds: float) -> None:
        """Count a stream that ended."""
        self.chunks.inc(chunks)
        self.first_chunk.observe(first_chunk_seconds)

    def forget(self, endpoint: str) -> None:
        """Drop the series of an endpoint that is gone."""
        gone = [key for key in self._bound if key[0] == endpoint]
        for key in gone:
            del self._bound[key]
            self._requests.remove(*map(str, key))
        if gone:
            self._duration.remove(endpoint)


class ConfigMetrics:
    """Metrics of the configuration and of the watch stream."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register with `registry`."""
        self.revision = Gauge(
            "modelplane_applied_revision", "Revision that the worker serves.", registry=registry
        )
        self.nacks = Counter(
            "modelplane_config_nacks", "Configurations that the worker refused.", registry=registry
        )
        self.connected = Gauge(
            "modelplane_control_plane_connected",
            "1 while a watch stream is open.",
            registry=registry,
        )
        self.silence = Gauge(
            "modelplane_control_plane_silence_seconds",
            "Time since the last message of the control plane.",
            registry=registry,
        )
        self.config_age = Gauge(
            "modelplane_config_age_seconds",
            "Time since the worker last applied a change.",
            registry=registry,
        )


class QuotaMetrics:
    """Metrics of limits."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register with `registry`."""
        self.away = Gauge(
            "modelplane_limits_away",
            "1 while no control plane leases quota and the policy for that holds.",
            registry=registry,
        )
        self.leases = Counter(
            "modelplane_quota_leases",
            "Calls to the control plane for quota, by what came of them.",
            ("outcome",),
            registry=registry,
        )
        self.refusals = Counter(
            "modelplane_limit_refusals",
            "Queries refused because a limit was exceeded, by the kind of limit.",
            ("unit", "scope"),
            registry=registry,
        )
