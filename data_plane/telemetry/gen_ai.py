"""What spans and metrics say of a call, by OpenTelemetry's conventions for generative AI.

Before: `open_telemetry.py`. After: `../calls/attributes.py`. A call is a span of the kind server,
each attempt at a provider one of the kind client below it. Neither prompts nor answers, nor who
called, are told.
https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from modelplane.data_plane.calls.attributes import (
    INSTRUMENTS,
    attempt_attributes,
    call_attributes,
    has_failed,
    made_attempts,
    measure,
    operation_of,
    token_attributes,
    usage_of,
)
from modelplane.data_plane.calls.record import Attempt, Record


@dataclass(frozen=True, slots=True)
class Times:
    """Makes wall time of the clocks that calls and attempts are measured with.

    Attributes:
        call_offset_ms: Wall time less the time of the clock of calls.
        loop_offset_ms: Wall time less the time of the event loop.
        now_ms: Wall time.
    """

    call_offset_ms: float
    loop_offset_ms: float
    now_ms: float


class CallTracer:
    """Makes the spans of a call that has ended."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def trace(self, record: Record, times: Times) -> None:
        """Hand the spans of a call to the exporter."""
        parent = record.trace if isinstance(record.trace, Context) else None
        start = times.call_offset_ms + record.started * 1000
        operation = operation_of(record)
        endpoint = record.endpoint.name if record.endpoint else ""
        span = self._tracer.start_span(
            f"{operation} {endpoint}".strip(),
            parent,
            SpanKind.SERVER,
            attributes={"gen_ai.operation.name": operation},
            start_time=_ns(start),
        )
        if span.is_recording():
            span.set_attributes(call_attributes(record))
            if has_failed(record):
                span.set_status(Status(StatusCode.ERROR))
            context = set_span_in_context(span)
            for attempt in made_attempts(record):
                self._trace_attempt(record, attempt, times, start, context)
        span.end(_ns(times.now_ms))

    def _trace_attempt(
        self, record: Record, attempt: Attempt, times: Times, earliest: float, context: Context
    ) -> None:
        # The loop's clock is read once in each of its turns, so it may be a little behind.
        start = max(earliest, times.loop_offset_ms + attempt.started * 1000)
        end = min(times.now_ms, start + attempt.seconds * 1000)
        operation = operation_of(record)
        model = attempt.served.model if attempt.served else ""
        span = self._tracer.start_span(
            f"{operation} {model}".strip(), context, SpanKind.CLIENT, start_time=_ns(start)
        )
        span.set_attributes(attempt_attributes(record, attempt, operation))
        _set_usage(span, record, attempt)
        if attempt.error:
            span.set_status(Status(StatusCode.ERROR))
        span.end(_ns(max(start, end)))


class CallMetrics:
    """Measures calls that have ended."""

    def __init__(self, meter: Meter) -> None:
        """Make the instruments.

        Args:
            meter: Collects what they measure.
        """
        self._histograms = {
            name: meter.create_histogram(
                name,
                instrument.unit,
                instrument.description,
                explicit_bucket_boundaries_advisory=list(instrument.bounds),
            )
            for name, instrument in INSTRUMENTS.items()
        }

    def observe(self, record: Record, now: float) -> None:
        """Measure a call that ended at `now`, seconds of the clock of calls."""
        for name, value, attributes in measure(record, now):
            self._histograms[name].record(value, attributes)


def _set_usage(span: Span, record: Record, attempt: Attempt) -> None:
    if usage := usage_of(record, attempt):
        span.set_attributes(token_attributes(usage))


def _ns(milliseconds: float) -> int:
    return int(milliseconds * 1_000_000)
