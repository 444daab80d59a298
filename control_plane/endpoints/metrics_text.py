"""The metrics of an endpoint as Prometheus or OpenMetrics text.

Before: `servicer`. After: `metrics` (what is printed). Names without `modelplane`
are those of the mirrored API, with its meaning: what ends in `_total` is of the last minute.
"""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from modelplane.adapters.shared.latency import LATENCY_BOUNDS_MS
from modelplane.control_plane.endpoints.metrics import MetricsView
from modelplane.control_plane.endpoints.totals import EntityTotals, Recent

_LABELS = ("endpoint_name", "served_model_name")


def build_metrics_text(view: MetricsView, accept: str) -> tuple[str, bytes]:
    """Return the content type and the text that suits an `Accept` header."""
    encode, content_type = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_View(view))
    return content_type, encode(registry)


class _View(Collector):
    """Gives what is printed to prometheus_client."""

    def __init__(self, view: MetricsView) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        yield from self._last_minute()
        yield self._latency()
        yield from self._counters()
        yield from self._refusals()
        yield from self._throughput()
        yield from self._engines()
        in_flight = GaugeMetricFamily(
            "modelplane_endpoint_requests_in_flight",
            "Queries being answered.",
            labels=_LABELS[:1],
        )
        in_flight.add_metric((self._view.endpoint,), self._view.in_flight)
        yield in_flight

    def _entities(self) -> Iterator[tuple[tuple[str, str], EntityTotals]]:
        for name, totals in sorted(self._view.entities.items()):
            yield (self._view.endpoint, name), totals

    def _last_minute(self) -> Iterator[Metric]:
        minute = self._view.last_minute
        count = GaugeMetricFamily(
            "request_count_total", "Calls that ended in the last minute.", labels=_LABELS
        )
        client_errors = GaugeMetricFamily(
            "request_4xx_count_total", "Calls refused in the last minute (4xx).", labels=_LABELS
        )
        server_errors = GaugeMetricFamily(
            "request_5xx_count_total", "Calls that failed in the last minute (5xx).", labels=_LABELS
        )
        for labels, _ in self._entities():
            recent = minute.get(labels[1], Recent())
            count.add_metric(labels, recent.requests)
            client_errors.add_metric(labels, recent.client_errors)
            server_errors.add_metric(labels, recent.server_errors)
        return iter((count, client_errors, server_errors))

    def _latency(self) -> Metric:
        latency = HistogramMetricFamily(
            "request_latency_ms", "Duration of calls, milliseconds.", labels=_LABELS
        )
        bounds = [*(str(float(bound)) for bound in LATENCY_BOUNDS_MS), "+Inf"]
        for labels, totals in self._entities():
            buckets = list(zip(bounds, accumulate(totals.latency), strict=True))
            latency.add_metric(labels, buckets, totals.latency_sum_ms)
        return latency

    def _counters(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "modelplane_endpoint_requests",
            "Calls that ended, by the HTTP status that the caller saw.",
            labels=(*_LABELS, "status"),
        )
        tokens = CounterMetricFamily(
            "modelplane_endpoint_tokens",
            "Tokens used: of prompts (input) and of answers (output).",
            labels=(*_LABELS, "direction"),
        )
        for labels, totals in self._entities():
            for status, calls in sorted(totals.requests.items()):
                requests.add_metric((*labels, status), calls)
            tokens.add_metric((*labels, "input"), totals.input_tokens)
            tokens.add_metric((*labels, "output"), totals.output_tokens)
        return iter((requests, tokens))

    def _refusals(self) -> Iterator[Metric]:
        """Yield what limits have refused, where they have."""
        if not self._view.refusals:
            return
        refusals = CounterMetricFamily(
            "modelplane_endpoint_limit_refusals",
            "Queries that a limit refused: whose use it counts (key), whom it names, its unit.",
            labels=("endpoint_name", "key", "principal", "unit"),
        )
        for name, refused in sorted(self._view.refusals.items()):
            key, unit, principal = name.split(" ", 2)
            refusals.add_metric((self._view.endpoint, key, principal, unit), refused.total)
        yield refusals

    def _engines(self) -> Iterator[Metric]:
        """Yield what engines say of themselves, where there are any."""
        if not self._view.engines:
            return
        requests = GaugeMetricFamily(
            "modelplane_endpoint_engine_requests",
            "Requests that engines work on (running), and have but do not work on yet (waiting).",
            labels=(*_LABELS, "state"),
        )
        usage = GaugeMetricFamily(
            "modelplane_endpoint_engine_kv_cache_usage_ratio",
            "Share of the room for keys and values that requests use, mean of the replicas.",
            labels=_LABELS,
        )
        tokens = CounterMetricFamily(
            "modelplane_endpoint_engine_tokens",
            "Tokens by engines' own count: of prompts, those included that were kept (prompt), and "
            "written (generation).",
            labels=(*_LABELS, "kind"),
        )
        prefixes = CounterMetricFamily(
            "modelplane_endpoint_engine_prefix_cache_tokens",
            "Tokens of prompts that engines have looked for among those kept (queries), and had "
            "(hits).",
            labels=(*_LABELS, "result"),
        )
        for name, engine in sorted(self._view.engines.items()):
            labels = (self._view.endpoint, name)
            if engine.is_fresh(self._view.now_ms):
                requests.add_metric((*labels, "running"), engine.running)
                requests.add_metric((*labels, "waiting"), engine.waiting)
                usage.add_metric(labels, engine.usage)
            prompt, generation, queries, hits = engine.counts
            tokens.add_metric((*labels, "prompt"), prompt)
            tokens.add_metric((*labels, "generation"), generation)
            prefixes.add_metric((*labels, "queries"), queries)
            prefixes.add_metric((*labels, "hits"), hits)
        yield from (requests, usage, tokens, prefixes)

    def _throughput(self) -> Iterator[Metric]:
        """Yield what is used of what is provisioned, where that is."""
        if not self._view.provisioned:
            return
        used = GaugeMetricFamily(
            "modelplane_endpoint_tokens_per_second",
            "Tokens used in each second of the last minute.",
            labels=_LABELS,
        )
        provisioned = GaugeMetricFamily(
            "modelplane_endpoint_provisioned_tokens_per_second",
            "Tokens per second that are provisioned: at least (min), at most (max), by each "
            "replica (chunk).",
            labels=(*_LABELS, "bound"),
        )
        for name, scale in sorted(self._view.provisioned.items()):
            labels = (self._view.endpoint, name)
            used.add_metric(labels, self._view.tokens_per_second.get(name, 0.0))
            provisioned.add_metric((*labels, "min"), scale.min_throughput)
            provisioned.add_metric((*labels, "max"), scale.max_throughput)
            provisioned.add_metric((*labels, "chunk"), scale.throughput_chunk)
        yield from (used, provisioned)
