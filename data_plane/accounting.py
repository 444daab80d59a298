"""Accounts for calls: metrics, one log line, and the ledger's entries.

`invocation.py` opens a call's record (`calls/record.py`), fills it, closes it and concludes it.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.providers.types import Query
from modelplane.adapters.shared.telemetry import RequestLog
from modelplane.data_plane.calls.reasons import reason_of
from modelplane.data_plane.calls.record import Record
from modelplane.data_plane.telemetry.guardrail_metrics import GuardrailMetrics
from modelplane.data_plane.telemetry.meters import Meters
from modelplane.data_plane.telemetry.metrics import Metrics

_log = RequestLog("modelplane.data_plane.access")


class Ledger(Protocol):
    """Keeps what every admitted query used."""

    def begin(self, record: Record, query: Query) -> None:
        """Write down that a provider is about to be called."""

    def end(self, record: Record) -> None:
        """Write down how the call ended."""


class Telemetry(Protocol):
    """Tells of calls elsewhere."""

    def begin(self, metadata: Mapping[str, str]) -> object:
        """Return what the caller's metadata say about the call's place in a trace."""

    def end(self, record: Record, now: float) -> None:
        """Tell of a call that ended at `now`, seconds of the monotonic clock."""


class Accountant:
    """Opens a record when a call begins and accounts for it when it ends."""

    def __init__(
        self,
        metrics: Metrics,
        meters: Meters,
        ledger: Ledger,
        clock: Callable[[], float],
        telemetry: Telemetry | None = None,
        guardrails: GuardrailMetrics | None = None,
    ) -> None:
        """Account to all of these and to the log.

        Args:
            metrics: Receives counts and times.
            meters: Receives what the control plane is told.
            ledger: Told of each admitted query.
            clock: Monotonic time, seconds.
            telemetry: Told of each call.
            guardrails: Told of what they found.
        """
        self._guardrails = guardrails
        self._metrics = metrics
        self._meters = meters
        self._telemetry = telemetry
        self._ledger = ledger
        self._clock = clock

    def open(self, request_id: str, metadata: Mapping[str, str]) -> Record:
        """Return the record of a call that begins now."""
        self._metrics.in_flight += 1
        record = Record(request_id, self._clock())
        record.user_agent = metadata.get("user-agent", "")
        if self._telemetry is not None:
            record.trace = self._telemetry.begin(metadata)
        return record

    def begin(self, record: Record, query: Query) -> None:
        """Note that a query is admitted and a provider will be called."""
        record.admitted = True
        if record.endpoint:
            self._meters.begin(record.endpoint.id)
        self._ledger.begin(record, query)

    def note_chunk(self, record: Record) -> None:
        """Note that a message of a stream was sent."""
        if not record.chunks:
            record.first_chunk = self._clock()
        record.chunks += 1

    def note_error(self, record: Record, error: Exception) -> None:
        """Note why a call or its stream failed."""
        record.error = type(error).__name__
        record.reason = reason_of(error)
        if isinstance(error, AdapterError):
            self._metrics.upstream_errors.labels(error.provider, record.error).inc()

    def close(self, record: Record) -> None:
        """Account for a call that has ended; what guardrails say of it may still change."""
        now = record.ended = self._clock()
        duration = now - record.started
        first_chunk = record.first_chunk - record.started if record.chunks else None
        self._meter(record, duration, first_chunk)
        self._metrics.in_flight -= 1
        self._metrics.observe(
            record.endpoint.name if record.endpoint else "",
            record.entity.name if record.entity else "",
            record.entity.task if record.entity else "",
            record.status,
            duration,
        )
        if first_chunk is not None:
            self._metrics.observe_stream(record.chunks, first_chunk)
        if self._telemetry is not None:
            self._telemetry.end(record, now)

    def conclude(self, record: Record) -> None:
        """Write down a call that is closed, and of which guardrails say nothing more."""
        if record.admitted:
            self._ledger.end(record)
        if record.guard is not None and self._guardrails is not None:
            self._guardrails.observe(record.guard)
        if _log.wanted:
            first_chunk = record.first_chunk - record.started if record.chunks else None
            _log.write("request", _fields(record, record.ended - record.started, first_chunk))

    def _meter(self, record: Record, duration: float, first_chunk: float | None) -> None:
        if record.endpoint is None:
            return
        endpoint_id = record.endpoint.id
        if record.admitted:
            self._meters.end(endpoint_id)
        entity = record.entity.name if record.entity else ""
        self._meters.observe(
            endpoint_id, entity, record.status, duration, record.usage, first_chunk
        )


def _fields(record: Record, duration: float, first_chunk: float | None) -> dict[str, object]:
    """Return the fields of the log line; what is not known is left out."""
    fields: dict[str, object] = {
        "request_id": record.request_id,
        "status": record.status,
        "duration_ms": round(duration * 1000, 2),
        "stream": record.stream,
    }
    if record.endpoint:
        fields["endpoint"] = record.endpoint.name
    if record.entity and record.config:
        fields["served_entity"] = record.entity.name
        fields["config_version"] = record.config.version
        fields["task"] = record.entity.task
    if record.principal:
        fields["principal"] = record.principal.name
    if first_chunk is not None:
        fields["first_chunk_ms"] = round(first_chunk * 1000, 2)
        fields["chunks"] = record.chunks
    fields |= _use(record)
    if record.error:
        fields["error"] = record.error
        fields["reason"] = record.reason
    if len(record.attempts) > 1:
        fields["attempts"] = [[attempt.entity, attempt.error] for attempt in record.attempts]
    return fields


def _use(record: Record) -> dict[str, object]:
    """Return the fields of what a call has used, and how long it waited to be allowed to."""
    fields: dict[str, object] = {}
    if record.guard is not None:
        verdict = record.guard.verdict()
        fields["guardrail_action"] = verdict.action
        fields["guardrail_entities"] = dict(verdict.entities)
    if record.waited:
        fields["waited_ms"] = round(record.waited * 1000, 2)
    if record.usage:
        fields["input_tokens"] = record.usage.input_tokens
        fields["output_tokens"] = record.usage.output_tokens
    return fields
