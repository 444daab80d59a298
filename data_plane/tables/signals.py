"""Tables of telemetry: spans, records of calls, and what calls took.

Used by `delta.py`. The columns are those that the mirrored product has for OpenTelemetry's signals,
with `record_id`, `time`, `date` and `service_name` before them, attributes as maps of texts, and of
metrics the one kind that is recorded. Sources: "Configure OpenTelemetry (OTLP) clients to send data
to Unity Catalog" and "OpenTelemetry table reference" in its documents.
https://opentelemetry.io/docs/specs/otel/metrics/data-model/#histogram
"""

import secrets
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from arro3.core import DataType, Field, Schema, Table

from modelplane.adapters.shared.release import VERSION
from modelplane.adapters.shared.telemetry_tables import Kind as Signal
from modelplane.data_plane.calls.attributes import INSTRUMENTS
from modelplane.data_plane.payloads.row import PayloadRow
from modelplane.data_plane.tables.nested import (
    DOUBLE,
    INT,
    LONG,
    STRING,
    Fields,
    Kind,
    ListOf,
    Texts,
    build,
)

PARTITION = "date"
_NS_PER_US = 1_000
_NS_PER_DAY = 86_400_000_000_000
_US_PER_MINUTE = 60_000_000
_NUMBERS = {"INFO": "SEVERITY_NUMBER_INFO", "WARN": "SEVERITY_NUMBER_WARN"}
_NUMBERS["ERROR"] = "SEVERITY_NUMBER_ERROR"
_Made = dict[str, Any]

_FIRST: Mapping[str, Kind] = {"record_id": STRING, "time": LONG, PARTITION: INT}
_FIRST = {**_FIRST, "service_name": STRING}
_RESOURCE = Fields({"attributes": Texts(), "dropped_attributes_count": INT})
_SCOPE: Mapping[str, Kind] = {"name": STRING, "version": STRING, "attributes": Texts()}
_SOURCE: Mapping[str, Kind] = {
    "resource": _RESOURCE,
    "resource_schema_url": STRING,
    "instrumentation_scope": Fields({**_SCOPE, "dropped_attributes_count": INT}),
}
_EVENT: Mapping[str, Kind] = {"time_unix_nano": LONG, "name": STRING, "attributes": Texts()}
_LINK: Mapping[str, Kind] = {
    "trace_id": STRING,
    "span_id": STRING,
    "trace_state": STRING,
    "attributes": Texts(),
    "dropped_attributes_count": INT,
    "flags": INT,
}
_SPANS: Mapping[str, Kind] = {
    **_FIRST,
    "trace_id": STRING,
    "span_id": STRING,
    "trace_state": STRING,
    "parent_span_id": STRING,
    "flags": INT,
    "name": STRING,
    "kind": STRING,
    "start_time_unix_nano": LONG,
    "end_time_unix_nano": LONG,
    "attributes": Texts(),
    "dropped_attributes_count": INT,
    "events": ListOf(Fields({**_EVENT, "dropped_attributes_count": INT})),
    "dropped_events_count": INT,
    "links": ListOf(Fields(_LINK)),
    "dropped_links_count": INT,
    "status": Fields({"message": STRING, "code": STRING}),
    **_SOURCE,
    "span_schema_url": STRING,
}
_LOGS: Mapping[str, Kind] = {
    **_FIRST,
    "event_name": STRING,
    "trace_id": STRING,
    "span_id": STRING,
    "time_unix_nano": LONG,
    "observed_time_unix_nano": LONG,
    "severity_number": STRING,
    "severity_text": STRING,
    "body": STRING,
    "attributes": Texts(),
    "dropped_attributes_count": INT,
    "flags": INT,
    **_SOURCE,
    "log_schema_url": STRING,
}
_HISTOGRAM: Mapping[str, Kind] = {
    "start_time_unix_nano": LONG,
    "time_unix_nano": LONG,
    "count": LONG,
    "sum": DOUBLE,
    "bucket_counts": ListOf(LONG),
    "explicit_bounds": ListOf(DOUBLE),
    "attributes": Texts(),
    "flags": INT,
    "min": DOUBLE,
    "max": DOUBLE,
    "aggregation_temporality": STRING,
}
_METRICS: Mapping[str, Kind] = {
    **_FIRST,
    "name": STRING,
    "description": STRING,
    "unit": STRING,
    "metric_type": STRING,
    "histogram": Fields(_HISTOGRAM),
    "metadata": Texts(),
    **_SOURCE,
    "metric_schema_url": STRING,
}


def build_signals(rows: Sequence[PayloadRow]) -> Table:
    """Return rows of one kind of telemetry as a table of Arrow."""
    kinds, make = _TABLES[Signal(rows[0].kind)]
    made = list(make([_plain(row) for row in rows]))
    columns = {name: build(kind, [one.get(name) for one in made]) for name, kind in kinds.items()}
    columns["time"] = columns["time"].cast(DataType.timestamp("us", tz="UTC"))
    columns[PARTITION] = columns[PARTITION].cast(DataType.date32())
    fields = [Field(name, column.type) for name, column in columns.items()]
    return Table.from_arrays(list(columns.values()), schema=Schema(fields))


def _plain(row: PayloadRow) -> _Made:
    return dict(row.facts)


def _make_spans(calls: Sequence[_Made]) -> Iterator[_Made]:
    for call in calls:
        for span in call["spans"]:
            yield {
                **_common(call, f"{call['trace']}-{span['id']}", span["start"]),
                "trace_id": call["trace"],
                "span_id": span["id"],
                "parent_span_id": span["parent"],
                "flags": call["flags"],
                "name": span["name"],
                "kind": f"SPAN_KIND_{span['kind']}",
                "start_time_unix_nano": span["start"],
                "end_time_unix_nano": span["end"],
                "attributes": span["attributes"],
                "dropped_attributes_count": 0,
                "dropped_events_count": 0,
                "dropped_links_count": 0,
                "status": {"code": f"STATUS_CODE_{'ERROR' if span['failed'] else 'UNSET'}"},
            }


def _make_logs(calls: Sequence[_Made]) -> Iterator[_Made]:
    for call in calls:
        yield {
            **_common(call, f"{call['trace']}-{call['span']}", call["time"]),
            "event_name": "modelplane.call",
            "trace_id": call["trace"],
            "span_id": call["span"],
            "time_unix_nano": call["time"],
            "observed_time_unix_nano": call["time"],
            "severity_number": _NUMBERS[call["severity"]],
            "severity_text": call["severity"],
            "body": call["body"],
            "attributes": call["attributes"],
            "dropped_attributes_count": 0,
            "flags": call["flags"],
        }


def _make_metrics(calls: Sequence[_Made]) -> Iterator[_Made]:
    """Yield a point for each minute, instrument and set of attributes: what was added meanwhile."""
    points: dict[tuple[object, ...], tuple[_Made, list[float]]] = {}
    for call in calls:
        minute = call["time"] // _NS_PER_US // _US_PER_MINUTE
        for name, value, attributes in call["points"]:
            told = orjson.dumps(attributes, option=orjson.OPT_SORT_KEYS)
            key = (call["service"], minute, name, told)
            points.setdefault(key, (call | {"attributes": attributes}, []))[1].append(value)
    for (service, minute, name, _), (call, values) in points.items():
        yield _point(str(service), int(str(minute)), str(name), call["attributes"], values)


def _point(
    service: str, minute: int, name: str, attributes: object, values: Sequence[float]
) -> _Made:
    instrument = INSTRUMENTS[name]
    counts = [0] * (len(instrument.bounds) + 1)
    for value in values:
        counts[bisect_left(instrument.bounds, value)] += 1
    start = minute * _US_PER_MINUTE * _NS_PER_US
    end = start + _US_PER_MINUTE * _NS_PER_US
    histogram = {
        "start_time_unix_nano": start,
        "time_unix_nano": end,
        "count": len(values),
        "sum": float(sum(values)),
        "bucket_counts": counts,
        "explicit_bounds": instrument.bounds,
        "attributes": attributes,
        "flags": 0,
        "min": float(min(values)),
        "max": float(max(values)),
        "aggregation_temporality": "AGGREGATION_TEMPORALITY_DELTA",
    }
    return {
        **_common({"service": service}, secrets.token_hex(16), start),
        "name": name,
        "description": instrument.description,
        "unit": instrument.unit,
        "metric_type": "histogram",
        "histogram": histogram,
    }


def _common(call: Mapping[str, Any], record_id: str, time_ns: int) -> _Made:
    source = {"attributes": {"service.name": call["service"]}, "dropped_attributes_count": 0}
    scope = {"name": "modelplane", "version": VERSION, "dropped_attributes_count": 0}
    return {
        "record_id": record_id,
        "time": time_ns // _NS_PER_US,
        PARTITION: time_ns // _NS_PER_DAY,
        "service_name": call["service"],
        "resource": source,
        "instrumentation_scope": scope,
    }


_Make = Callable[[Sequence[_Made]], Iterator[_Made]]
_TABLES: Mapping[Signal, tuple[Mapping[str, Kind], _Make]] = {
    Signal.SPANS: (_SPANS, _make_spans),
    Signal.LOGS: (_LOGS, _make_logs),
    Signal.METRICS: (_METRICS, _make_metrics),
}
