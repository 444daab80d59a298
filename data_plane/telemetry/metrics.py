"""Prometheus metrics of calls: `accounting.py` counts them.

What else a worker counts stands beside who counts it, in modules that end in `metrics`.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_BOUNDS = (*(str(float(bound)) for bound in _SECONDS), "+Inf")


class _Times:
    """How many times were how long."""

    __slots__ = ("_buckets", "_sum")

    def __init__(self) -> None:
        self._buckets = [0] * len(_BOUNDS)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._buckets[bisect_left(_SECONDS, seconds)] += 1
        self._sum += seconds

    def add_to(self, family: HistogramMetricFamily, labels: list[str]) -> None:
        """Add the counts to a family of metrics."""
        totals = map(float, accumulate(self._buckets))
        family.add_metric(labels, list(zip(_BOUNDS, totals, strict=True)), self._sum)


class Metrics(Collector):
    """Metrics of calls.

    What each call counts is held in plain numbers, and becomes metrics when they are asked for:
    the library's own take a lock for each number.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register with `registry`."""
        self.in_flight = 0
        self._requests: dict[tuple[str, str, str, int], int] = {}
        self._durations: dict[str, _Times] = {}
        self._first_chunk = _Times()
        self._chunks = 0
        registry.register(self)
        self.upstream_errors = Counter(
            "modelplane_upstream_errors",
            "Errors at providers, by class.",
            ("provider", "error"),
            registry=registry,
        )

    def observe(self, endpoint: str, entity: str, task: str, status: int, seconds: float) -> None:
        """Count a call that ended."""
        key = (endpoint, entity, task, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        durations = self._durations.get(endpoint)
        if durations is None:
            durations = self._durations[endpoint] = _Times()
        durations.observe(seconds)

    def observe_stream(self, chunks: int, first_chunk_seconds: float) -> None:
        """Count a stream that ended."""
        self._chunks += chunks
        self._first_chunk.observe(first_chunk_seconds)

    def forget(self, endpoint: str) -> None:
        """Drop the series of an endpoint that is gone."""
        for key in [key for key in self._requests if key[0] == endpoint]:
            del self._requests[key]
        self._durations.pop(endpoint, None)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of calls; in the thread of whoever asks, hence the copies."""
        requests = CounterMetricFamily(
            "modelplane_requests",
            "Calls that ended, by the HTTP status that the caller saw.",
            labels=("endpoint", "served_entity", "task", "status"),
        )
        for key, count in self._requests.copy().items():
            requests.add_metric(list(map(str, key)), count)
        yield requests
        durations = HistogramMetricFamily(
            "modelplane_request_duration_seconds",
            "Time from the start of a call to its end.",
            labels=("endpoint",),
        )
        for endpoint, times in self._durations.copy().items():
            times.add_to(durations, [endpoint])
        yield durations
        first_chunk = HistogramMetricFamily(
            "modelplane_first_chunk_seconds",
            "Time from the start of a streamed call to its first chunk.",
        )
        self._first_chunk.add_to(first_chunk, [])
        yield first_chunk
        yield CounterMetricFamily(
            "modelplane_streamed_chunks", "Messages sent in streams.", value=self._chunks
        )
        yield GaugeMetricFamily(
            "modelplane_requests_in_flight", "Calls being answered.", value=self.in_flight
        )
