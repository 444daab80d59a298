"""A collector of OpenTelemetry: takes traces and metrics over OTLP and gRPC, and keeps them."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Collector:
    """What was collected.

    Attributes:
        url: Where to send telemetry.
        traces: Exports of spans, in order of arrival.
        metrics: Exports of metrics.
    """

    url: str = ""
    traces: list[trace_pb.ExportTraceServiceRequest] = field(default_factory=list)
    metrics: list[metrics_pb.ExportMetricsServiceRequest] = field(default_factory=list)

    @property
    def spans(self) -> list[Span]:
        """All spans."""
        return [
            span
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def points(self, name: str) -> list[HistogramDataPoint]:
        """The points of a histogram, as of the last export."""
        return [
            point
            for request in self.metrics[-1:]
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.histogram.data_points
        ]

    @property
    def resource(self) -> Mapping[str, Any]:
        """Attributes of who sent the first spans."""
        return attributes(self.traces[0].resource_spans[0].resource.attributes)

    @property
    def text(self) -> str:
        """Everything, to be searched for what must not be there."""
        return repr(self.traces) + repr(self.metrics)


def attributes(pairs: Any) -> Mapping[str, Any]:
    """Return attributes as a mapping."""
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    return getattr(pair.value, str(pair.value.WhichOneof("value")))


class _Traces(trace_grpc.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - named by the service
        del context
        self._collector.traces.append(request)
        return trace_pb.ExportTraceServiceResponse()


class _Metrics(metrics_grpc.MetricsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - named by the service
        del context
        self._collector.metrics.append(request)
        return metrics_pb.ExportMetricsServiceResponse()


class Stalled(trace_grpc.TraceServiceServicer):
    """Takes traces and never answers."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.release = threading.Event()

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - named by the service
        del request, context
        self.called.set()
        self.release.wait()
        return trace_pb.ExportTraceServiceResponse()


@contextmanager
def running_collector(stalled: Stalled | None = None) -> Iterator[Collector]:
    """Yield a collector; with `stalled`, one that never answers for traces."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(4))
    traces = stalled or _Traces(collector)
    trace_grpc.add_TraceServiceServicer_to_server(traces, server)  # type: ignore[no-untyped-call]
    metrics_grpc.add_MetricsServiceServicer_to_server(_Metrics(collector), server)  # type: ignore[no-untyped-call]
    collector.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        if stalled:
            stalled.release.set()
        server.stop(None).wait()
