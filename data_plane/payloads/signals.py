"""What tables of telemetry get of a call: its spans, a record of it, and what it took.

Before: `log.py`. After: `../calls/attributes.py`, which says what is told, as to a collector.
Who reads the rows is `../tables/signals.py`.
"""

import asyncio
import re
import secrets
from collections.abc import Callable, Iterator

from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.shared.telemetry_tables import Kind
from modelplane.data_plane.calls.attributes import (
    CLIENT_ERROR,
    SERVER_ERROR,
    Attributes,
    attempt_attributes,
    call_attributes,
    has_failed,
    made_attempts,
    measure,
    operation_of,
    token_attributes,
    usage_of,
)
from modelplane.data_plane.calls.record import Record
from modelplane.data_plane.payloads.row import PayloadRow
from modelplane.data_plane.snapshots.telemetry_tables import TelemetryTables

_TRACE_BYTES, _SPAN_BYTES = 16, 8
# W3C Trace Context, 3.2: a trace and a parent are not all zeros, and `ff` is no version.
_PARENT = re.compile(
    "(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)
_Made = Callable[["_Call"], JsonObject]


class _Call:
    """A call that has ended, with its place in time and in a trace."""

    def __init__(self, record: Record, traceparent: str, wall_ms: float, now: float) -> None:
        self.record = record
        found = _PARENT.fullmatch(traceparent)
        self.trace_id = found[1] if found else secrets.token_hex(_TRACE_BYTES)
        self.parent = found[2] if found else None
        self.flags = int(found[3], 16) if found else 1
        self.span_id = secrets.token_hex(_SPAN_BYTES)
        # The call is over for a while, where judges were waited for.
        self.end_ms = wall_ms - (now - record.ended) * 1000
        self.start_ms = self.end_ms - (record.ended - record.started) * 1000
        self.loop_offset_ms = wall_ms - asyncio.get_running_loop().time() * 1000

    def attributes(self) -> Attributes:
        """Return what is told of it, with what guardrails have done."""
        told = call_attributes(self.record)
        if self.record.guard is not None:
            told["modelplane.guardrail_action"] = str(self.record.guard.verdict().action)
        return told


def build_rows(
    record: Record, tables: TelemetryTables, traceparent: str, wall_ms: float, now: float
) -> Iterator[PayloadRow]:
    """Yield the rows of a call that has ended, one for each table.

    Args:
        record: The call, whose endpoint is known.
        tables: The endpoint's.
        traceparent: What the caller says of its trace; empty: nothing.
        wall_ms: Wall time, milliseconds since the epoch.
        now: The same, seconds of the clock of `record.started`.
    """
    call = _Call(record, traceparent, wall_ms, now)
    service = record.endpoint.name if record.endpoint else ""
    for kind, location in tables.items():
        facts = {"service": service, **_MAKERS[kind](call)}
        yield PayloadRow(location, facts, kind=str(kind))


def _spans(call: _Call) -> JsonObject:
    record = call.record
    operation = operation_of(record)
    endpoint = record.endpoint.name if record.endpoint else ""
    told = call.attributes()
    span = _span(f"{operation} {endpoint}".strip(), call.start_ms, call.end_ms, told)
    span |= {"id": call.span_id, "parent": call.parent, "kind": "SERVER"}
    span["failed"] = has_failed(record)
    spans: list[object] = [span]
    for attempt in made_attempts(record):
        # The loop's clock is read once in each of its turns, so it may be a little behind.
        start = max(call.start_ms, call.loop_offset_ms + attempt.started * 1000)
        end = max(start, min(call.end_ms, start + attempt.seconds * 1000))
        told = attempt_attributes(record, attempt, operation)
        if usage := usage_of(record, attempt):
            told |= token_attributes(usage)
        model = attempt.served.model if attempt.served else ""
        span = _span(f"{operation} {model}".strip(), start, end, told)
        span |= {"id": secrets.token_hex(_SPAN_BYTES), "parent": call.span_id, "kind": "CLIENT"}
        spans.append(span | {"failed": bool(attempt.error)})
    return {"trace": call.trace_id, "flags": call.flags, "spans": spans}


def _span(name: str, start_ms: float, end_ms: float, attributes: Attributes) -> JsonObject:
    told = dict[str, object](attributes)
    return {"name": name, "start": _ns(start_ms), "end": _ns(end_ms), "attributes": told}


def _log(call: _Call) -> JsonObject:
    record = call.record
    severity = "INFO"
    if record.status >= CLIENT_ERROR or record.error:
        severity = "ERROR" if record.status >= SERVER_ERROR or has_failed(record) else "WARN"
    told = dict[str, object](call.attributes())
    told["modelplane.duration_ms"] = round((record.ended - record.started) * 1000, 2)
    if record.principal:
        told["enduser.id"] = record.principal.id
    return {
        "trace": call.trace_id,
        "span": call.span_id,
        "flags": call.flags,
        "time": _ns(call.end_ms),
        "severity": severity,
        "body": record.reason or "answered",
        "attributes": told,
    }


def _metrics(call: _Call) -> JsonObject:
    points = [list(point) for point in measure(call.record, call.record.ended)]
    return {"start": _ns(call.start_ms), "time": _ns(call.end_ms), "points": points}


_MAKERS: dict[Kind, _Made] = {Kind.SPANS: _spans, Kind.LOGS: _log, Kind.METRICS: _metrics}


def _ns(milliseconds: float) -> int:
    return int(milliseconds * 1_000_000)
