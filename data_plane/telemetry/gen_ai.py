"""What spans and metrics say of a call, by OpenTelemetry's conventions for generative AI.

Before: `open_telemetry.py`. A call is a span of the kind server, each attempt at a provider one of
the kind client below it. Neither prompts nor answers, nor who called, are told.
https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, Meter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from modelplane.adapters.providers.registry import SEMANTIC_NAMES
from modelplane.adapters.providers.types import Usage
from modelplane.data_plane.calls.record import Attempt, Record
from modelplane.data_plane.calls.tasks import spec_of
from modelplane.data_plane.errors import UpstreamResting
from modelplane.data_plane.snapshots.snapshot import ServedEntity

_SERVER_ERROR = 500
_CLIENT_ERROR = 400
_NOT_ASKED = UpstreamResting.__name__
# The conventions give these bounds.
_SECONDS = [0.01 * 2**power for power in range(14)]
_TOKENS = [float(4**power) for power in range(14)]
_Attributes = dict[str, AttributeValue]


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
        operation = _operation(record)
        endpoint = record.endpoint.name if record.endpoint else ""
        span = self._tracer.start_span(
            f"{operation} {endpoint}".strip(),
            parent,
            SpanKind.SERVER,
            attributes={"gen_ai.operation.name": operation},
            start_time=_ns(start),
        )
        if span.is_recording():
            span.set_attributes(_call_attributes(record))
            if record.status >= _SERVER_ERROR or (record.error and record.status < _CLIENT_ERROR):
                span.set_status(Status(StatusCode.ERROR))
            context = set_span_in_context(span)
            for attempt in record.attempts:
                if attempt.error != _NOT_ASKED:
                    self._trace_attempt(record, attempt, times, start, context)
        span.end(_ns(times.now_ms))

    def _trace_attempt(
        self, record: Record, attempt: Attempt, times: Times, earliest: float, context: Context
    ) -> None:
        # The loop's clock is read once in each of its turns, so it may be a little behind.
        start = max(earliest, times.loop_offset_ms + attempt.started * 1000)
        end = min(times.now_ms, start + attempt.seconds * 1000)
        operation = _operation(record)
        model = attempt.served.model if attempt.served else ""
        span = self._tracer.start_span(
            f"{operation} {model}".strip(), context, SpanKind.CLIENT, start_time=_ns(start)
        )
        span.set_attributes(_attempt_attributes(record, attempt, operation))
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
        self._attempt_seconds = _histogram(
            meter, "gen_ai.client.operation.duration", "Duration of attempts at providers."
        )
        self._request_seconds = _histogram(
            meter, "gen_ai.server.request.duration", "Duration of calls."
        )
        self._first_chunk = _histogram(
            meter, "gen_ai.server.time_to_first_token", "Time to the first chunk of a stream."
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Tokens that calls used.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )

    def observe(self, record: Record, now: float) -> None:
        """Measure a call that ended at `now`, seconds of the clock of calls."""
        operation = _operation(record)
        own: _Attributes = {"gen_ai.operation.name": operation}
        if record.endpoint:
            own["gen_ai.request.model"] = record.endpoint.name
        if record.entity:
            own["gen_ai.provider.name"] = _provider(record.entity)
        if error := _error_type(record):
            own["error.type"] = error
        self._request_seconds.record(now - record.started, own)
        if record.chunks:
            self._first_chunk.record(record.first_chunk - record.started, own)
        for attempt in record.attempts:
            if attempt.error != _NOT_ASKED:
                attributes = _attempt_attributes(record, attempt, operation)
                self._attempt_seconds.record(attempt.seconds, attributes)
                self._observe_tokens(_usage(record, attempt), attributes)

    def _observe_tokens(self, usage: Usage | None, attributes: _Attributes) -> None:
        if usage is None:
            return
        attributes.pop("error.type", None)
        for kind, tokens in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            if tokens is not None:
                self._tokens.record(tokens, attributes | {"gen_ai.token.type": kind})


def _histogram(meter: Meter, name: str, description: str) -> Histogram:
    return meter.create_histogram(
        name, "s", description, explicit_bucket_boundaries_advisory=_SECONDS
    )


def _call_attributes(record: Record) -> _Attributes:
    attributes: _Attributes = {
        "http.response.status_code": record.status,
        "modelplane.request_id": record.request_id,
        "gen_ai.request.stream": record.stream,
    }
    if record.endpoint:
        attributes["gen_ai.request.model"] = record.endpoint.name
    if record.config:
        attributes["modelplane.config_version"] = record.config.version
    if record.entity:
        attributes["modelplane.served_entity"] = record.entity.name
        attributes["gen_ai.provider.name"] = _provider(record.entity)
    if error := _error_type(record):
        attributes["error.type"] = error
    if record.chunks:
        attributes["gen_ai.response.time_to_first_chunk"] = record.first_chunk - record.started
    if record.usage:
        attributes |= _token_attributes(record.usage)
    return attributes


def _attempt_attributes(record: Record, attempt: Attempt, operation: str) -> _Attributes:
    attributes: _Attributes = {"gen_ai.operation.name": operation}
    if attempt.served:
        attributes["gen_ai.provider.name"] = _provider(attempt.served)
        attributes["gen_ai.request.model"] = attempt.served.model
    if record.stream:
        attributes["gen_ai.request.stream"] = True
    if attempt.model:
        attributes["gen_ai.response.model"] = attempt.model
    if attempt.address:
        host, _, port = attempt.address.rpartition(":")
        attributes["server.address"] = host
        attributes["server.port"] = int(port)
    if attempt.error:
        attributes["error.type"] = attempt.error
    return attributes


def _set_usage(span: Span, record: Record, attempt: Attempt) -> None:
    if usage := _usage(record, attempt):
        span.set_attributes(_token_attributes(usage))


def _usage(record: Record, attempt: Attempt) -> Usage | None:
    """Return what an attempt used: the record knows it of the last one, which was answered."""
    return record.usage if attempt is record.attempts[-1] else None


def _token_attributes(usage: Usage) -> _Attributes:
    attributes: _Attributes = {}
    if usage.input_tokens is not None:
        attributes["gen_ai.usage.input_tokens"] = usage.input_tokens
    if usage.output_tokens is not None:
        attributes["gen_ai.usage.output_tokens"] = usage.output_tokens
    return attributes


def _operation(record: Record) -> str:
    return spec_of(record.config.task if record.config else "").operation


def _provider(entity: ServedEntity) -> str:
    return SEMANTIC_NAMES.get(entity.provider, entity.provider) or "modelplane"


def _error_type(record: Record) -> str:
    return record.error or (str(record.status) if record.status >= _CLIENT_ERROR else "")


def _ns(milliseconds: float) -> int:
    return int(milliseconds * 1_000_000)
