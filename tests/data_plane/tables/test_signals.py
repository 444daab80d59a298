"""Tables of telemetry as their readers find them."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import deltalake
import pytest

from modelplane.data_plane.payloads.row import PayloadRow
from modelplane.data_plane.tables.delta import DeltaTables
from modelplane.deploy.command.query import ask

NS = 1_700_000_000_123_456_789
MINUTE = 60_000_000_000
TRACE, SPAN = "a" * 32, "b" * 16
TOLD: dict[str, Any] = {"n": 7, "yes": True, "gen_ai.request.model": "chat"}
SPANS = {
    "service": "chat",
    "trace": TRACE,
    "flags": 1,
    "spans": [
        {
            "id": SPAN,
            "parent": None,
            "kind": "SERVER",
            "name": "chat chat",
            "start": NS,
            "end": NS + 5_000,
            "attributes": TOLD,
            "failed": True,
        },
        {
            "id": "c" * 16,
            "parent": SPAN,
            "kind": "CLIENT",
            "name": "chat gpt-4",
            "start": NS + 1,
            "end": NS + 4_000,
            "attributes": {},
            "failed": False,
        },
    ],
}
LOG = {
    "service": "chat",
    "trace": TRACE,
    "span": SPAN,
    "flags": 1,
    "time": NS,
    "severity": "WARN",
    "body": "refused",
    "attributes": TOLD,
}
# Columns that the mirrored product's documents name, in their order, and whose types they give.
FIRST = ["record_id", "time", "date", "service_name"]
LAST = ["resource", "resource_schema_url", "instrumentation_scope"]
COLUMNS = {
    "spans": [
        *FIRST,
        *("trace_id", "span_id", "trace_state", "parent_span_id", "flags", "name", "kind"),
        *("start_time_unix_nano", "end_time_unix_nano", "attributes", "dropped_attributes_count"),
        *("events", "dropped_events_count", "links", "dropped_links_count", "status"),
        *LAST,
        "span_schema_url",
    ],
    "logs": [
        *FIRST,
        *("event_name", "trace_id", "span_id", "time_unix_nano", "observed_time_unix_nano"),
        *("severity_number", "severity_text", "body", "attributes", "dropped_attributes_count"),
        "flags",
        *LAST,
        "log_schema_url",
    ],
    "metrics": [
        *FIRST,
        *("name", "description", "unit", "metric_type", "histogram", "metadata"),
        *LAST,
        "metric_schema_url",
    ],
}
FACTS = {"spans": SPANS, "logs": LOG}


def points(*values: tuple[str, float], time: int = NS, **attributes: Any) -> PayloadRow:
    told = [[name, value, attributes] for name, value in values]
    facts = {"service": "chat", "start": time, "time": time, "points": told}
    return PayloadRow("m/l/metrics", facts, kind="metrics")


def written(root: Path, kind: str, rows: list[PayloadRow]) -> deltalake.DeltaTable:
    DeltaTables(str(root), "w").append(f"m/l/{kind}", 1, rows)
    return deltalake.DeltaTable(str(root / "m" / "l" / kind))


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_table_has_the_columns_of_its_signal(tmp_path: Path, kind: str) -> None:
    one = points(("gen_ai.server.request.duration", 0.1))
    row = PayloadRow(f"m/l/{kind}", FACTS[kind], kind=kind) if kind in FACTS else one
    table = written(tmp_path, kind, [row])
    fields = {field.name: field for field in table.schema().fields}
    assert list(fields) == COLUMNS[kind]
    assert table.metadata().partition_columns == ["date"]
    if kind != "metrics":
        assert str(fields["attributes"].type).startswith("MapType")
    assert "StructType" in str(fields["resource"].type)


def test_spans_are_read_back(tmp_path: Path) -> None:
    written(tmp_path, "spans", [PayloadRow("m/l/spans", SPANS, kind="spans")] * 2)
    sql = (
        "select *, attributes['n'] as n, attributes['yes'] as yes, status['code'] as code, "
        "resource['attributes']['service.name'] as of from m.l.spans order by kind desc"
    )
    found = ask(str(tmp_path), sql)
    assert [one["kind"] for one in found] == ["SPAN_KIND_SERVER"] * 2 + ["SPAN_KIND_CLIENT"] * 2
    call, attempt = found[0], found[2]
    assert (call["trace_id"], call["span_id"], call["parent_span_id"]) == (TRACE, SPAN, None)
    assert (call["n"], call["yes"], call["code"]) == ("7", "true", "STATUS_CODE_ERROR")
    assert (attempt["parent_span_id"], attempt["code"]) == (SPAN, "STATUS_CODE_UNSET")
    assert call["time"] == datetime(2023, 11, 14, 22, 13, 20, 123_456, UTC)
    assert call["date"] == date(2023, 11, 14)
    assert (call["start_time_unix_nano"], call["end_time_unix_nano"]) == (NS, NS + 5_000)
    assert (call["of"], call["events"], call["links"]) == ("chat", [], [])


def test_records_are_read_back(tmp_path: Path) -> None:
    written(tmp_path, "logs", [PayloadRow("m/l/logs", LOG, kind="logs")])
    sql = "select *, attributes['gen_ai.request.model'] as model from m.l.logs"
    [one] = ask(str(tmp_path), sql)
    assert (one["severity_number"], one["severity_text"]) == ("SEVERITY_NUMBER_WARN", "WARN")
    assert (one["body"], one["model"], one["span_id"]) == ("refused", "chat", SPAN)


def test_what_calls_took_adds_up_by_minute_and_attributes(tmp_path: Path) -> None:
    name, used = "gen_ai.server.request.duration", "gen_ai.client.token.usage"
    rows = [
        points((name, 0.01), (used, 3), model="a"),
        points((name, 0.02), model="a"),
        points((name, 200.0), model="a"),
        points((name, 5.0), model="b"),
        points((name, 5.0), model="a", time=NS + MINUTE),
    ]
    written(tmp_path, "metrics", rows)
    sql = "select *, histogram['attributes']['model'] as model from m.l.metrics order by time"
    found = ask(str(tmp_path), f"select * from ({sql})")
    [first] = [
        one
        for one in found
        if (one["name"], one["model"]) == (name, "a") and one["histogram"]["count"] == 3
    ]
    told = first["histogram"]
    assert told["sum"] == pytest.approx(200.03)
    assert (told["min"], told["max"]) == (0.01, 200.0)
    # A bound belongs to the bucket below it; what is above all of them has one of its own.
    assert told["bucket_counts"][:2] == [1, 1]
    assert told["bucket_counts"][-1] == 1
    assert len(told["bucket_counts"]) == len(told["explicit_bounds"]) + 1
    assert told["time_unix_nano"] - told["start_time_unix_nano"] == MINUTE
    assert told["start_time_unix_nano"] <= NS < told["time_unix_nano"]
    assert told["aggregation_temporality"] == "AGGREGATION_TEMPORALITY_DELTA"
    counts = sorted((one["name"], one["model"], one["histogram"]["count"]) for one in found)
    assert counts == [(used, "a", 1), (name, "a", 1), (name, "a", 3), (name, "b", 1)]


def test_old_days_go_and_many_files_become_one(tmp_path: Path) -> None:
    tables = DeltaTables(str(tmp_path), "w")
    day = 1_440 * MINUTE
    for number in range(6):
        row = points(("gen_ai.client.token.usage", 1), time=NS + day * (number % 3))
        tables.append("m/l/metrics", number + 1, [row])
    tables.maintain("m/l/metrics", date(2023, 11, 17), date(2023, 11, 15))
    assert ask(str(tmp_path), "select count(*) as n from m.l.metrics") == [{"n": 4}]
    assert len(deltalake.DeltaTable(str(tmp_path / "m/l/metrics")).file_uris()) == 2
