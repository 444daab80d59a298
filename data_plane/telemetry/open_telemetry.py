"""Traces and metrics of queries for an OpenTelemetry collector.

`worker.py` imports this only where a collector is set: without one, OpenTelemetry is not even
loaded. `accounting.py` calls it at the begin and the end of each call; what the spans and metrics
say is in `gen_ai.py`. Exporting is the work of threads: a collector that is away or slow costs what
the bounded queue cannot hold, never a query.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from modelplane.data_plane.calls.record import Record
from modelplane.data_plane.telemetry.gen_ai import CallMetrics, CallTracer, Times

_EXPORT_SECONDS = 5
_QUEUED_SPANS = 4096
_BATCH_SPANS = 512
_SPAN_DELAY_MS = 1_000
_METRICS_INTERVAL_MS = 15_000
# What the end of the worker may take longer because of the last export.
_CLOSE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Collector:
    """Where telemetry goes, and how much of it.

    Attributes:
        endpoint: URL of an OTLP receiver over gRPC.
        sampling_ratio: Share of the traces that begin here which are kept, from 0 to 1.
        worker_id: Identifier of this worker.
        build: Version of its software.
    """

    endpoint: str
    sampling_ratio: float
    worker_id: str
    build: str


class OpenTelemetry:
    """Tells a collector of calls; see `accounting.Telemetry`."""

    def __init__(
        self, tracer: CallTracer, metrics: CallMetrics, wall_ms: Callable[[], float]
    ) -> None:
        self._tracer = tracer
        self._metrics = metrics
        self._wall_ms = wall_ms
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, metadata: Mapping[str, str]) -> Context:
        """Return the trace that the caller's metadata name."""
        return self._propagator.extract(metadata)

    def end(self, record: Record, now: float) -> None:
        """Tell of a call that has ended.

        Args:
            record: The call.
            now: Seconds of the clock of `record.started`.
        """
        wall_ms = self._wall_ms()
        loop = asyncio.get_running_loop().time()
        times = Times(wall_ms - now * 1000, wall_ms - loop * 1000, wall_ms)
        self._tracer.trace(record, times)
        self._metrics.observe(record, now)


@asynccontextmanager
async def exporting(
    collector: Collector, wall_ms: Callable[[], float]
) -> AsyncIterator[OpenTelemetry]:
    """Yield what tells the collector of calls; on leaving, export what waits, but not for long."""
    resource = Resource.create(
        {
            "service.name": "modelplane-worker",
            "service.version": collector.build,
            "service.instance.id": collector.worker_id,
        }
    )
    span_exporter = OTLPSpanExporter(collector.endpoint, timeout=_EXPORT_SECONDS)
    metric_exporter = OTLPMetricExporter(collector.endpoint, timeout=_EXPORT_SECONDS)
    sampler = ParentBased(TraceIdRatioBased(collector.sampling_ratio))
    traces = TracerProvider(sampler, resource, shutdown_on_exit=False)
    traces.add_span_processor(
        BatchSpanProcessor(
            span_exporter,
            max_queue_size=_QUEUED_SPANS,
            schedule_delay_millis=_SPAN_DELAY_MS,
            max_export_batch_size=_BATCH_SPANS,
        )
    )
    reader = PeriodicExportingMetricReader(metric_exporter, _METRICS_INTERVAL_MS)
    metrics = MeterProvider([reader], resource, shutdown_on_exit=False)
    name, version = "modelplane", collector.build
    try:
        yield OpenTelemetry(
            CallTracer(traces.get_tracer(name, version)),
            CallMetrics(metrics.get_meter(name, version)),
            wall_ms,
        )
    finally:
        closing = asyncio.gather(
            asyncio.to_thread(traces.shutdown), asyncio.to_thread(metrics.shutdown)
        )
        await asyncio.wait([closing], timeout=_CLOSE_SECONDS)
        # Ends attempts to export that are still under way.
        span_exporter.shutdown()
        metric_exporter.shutdown()
        await closing
