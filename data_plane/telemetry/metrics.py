"""Prometheus metrics of calls: `accounting.py` counts them.

What else a worker counts stands beside who counts it, in modules that end in `metrics`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

# Counts of calls that one endpoint may have, by its entities and their statuses.
_MAX_SERIES = 500
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

    def __init__(
        self, registry: CollectorRegistry, known: Callable[[str], bool] = lambda _: True
    ) -> None:
        """Register with `registry`.

        Args:
            registry: Shows the metrics.
            known: Tells whether there is an endpoint of that name.
        """
        self.in_flight = 0
        # Bytes of large requests under way.
        self.bodies: Callable[[], int] = int
        self._known = known
        self._requests: dict[tuple[str, str, str, int], int] = {}
        self._series: dict[str, int] = {}
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
        count = self._requests.get(key)
        if count is None:
            key = self._admit(key)
            endpoint, count = key[0], self._requests.get(key, 0)
        self._requests[key] = count + 1
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
        self._series.pop(endpoint, None)

    def _admit(self, key: tuple[str, str, str, int]) -> tuple[str, str, str, int]:
        """Return under which labels a call counts that is the first with these.

        An endpoint may be gone when its last call ends, and its series would stay for ever; one
        whose entities get new names again and again has so many series and no more.
        """
        endpoint, entity, task, status = key
        if endpoint and not self._known(endpoint):
            return ("", "", "", status)
        series = self._series.get(endpoint, 0)
        if entity and series >= _MAX_SERIES:
            return (endpoint, "", task, status)
        self._series[endpoint] = series + 1
        return key

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
        yield GaugeMetricFamily(
            "modelplane_request_body_bytes",
            "Bytes of large requests under way.",
            value=self.bodies(),
        )
