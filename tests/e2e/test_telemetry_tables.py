"""Telemetry of calls in tables, through the whole system: settings in, queries, rows read back."""

import json
from itertools import count
from typing import Any

import pytest
from databricks.sdk.errors import InvalidParameterValue
from databricks.sdk.service.serving import (
    ServingEndpointDetailed,
    TelemetryConfig,
    TelemetryFeature,
    UnityCatalogTableNames,
)

from modelplane.deploy.command.query import QueryError, ask
from tests.e2e.rest import CHAT, ENDPOINTS, Rest, endpoint, entity
from tests.e2e.system import System, wait_for
from tests.e2e.test_databricks_sdk import connect
from tests.e2e.test_payload_tables import TABLE, refusal
from tests.emulators.openai import OpenAiEmulator

SIGNALS = [
    TelemetryFeature.TELEMETRY_FEATURE_LOGS,
    TelemetryFeature.TELEMETRY_FEATURE_METRICS,
    TelemetryFeature.TELEMETRY_FEATURE_TRACES,
]
_NAMES = (f"told_{number}" for number in count())
_TRACE, _PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def rows(system: System, sql: str) -> list[dict[str, Any]]:
    try:
        return ask(str(system.data_dir / "tables"), sql)
    except QueryError:
        # There is none before the first row.
        return []


def tell(system: System, name: str) -> ServingEndpointDetailed:
    """Let the calls of an endpoint be told in three tables, by the SDK."""
    tables = UnityCatalogTableNames(
        logs_table=f"main.otel.{name}_logs",
        metrics_table=f"main.otel.{name}_metrics",
        traces_table=f"main.otel.{name}_spans",
    )
    config = TelemetryConfig(enabled_telemetry_features=SIGNALS, table_names=tables)
    serving = connect(system, system.token).serving_endpoints
    return serving.patch_telemetry_config(name, telemetry_config=config)


def test_a_call_is_spans_a_record_and_points(
    system: System, rest: Rest, provider: OpenAiEmulator
) -> None:
    name = next(_NAMES)
    made = rest.create(endpoint(name, entity(provider, "gpt")))
    shown = tell(system, name)
    assert shown.telemetry_config == TelemetryConfig(enabled_telemetry_features=SIGNALS)
    assert (shown.last_updated_timestamp or 0) > made["last_updated_timestamp"]
    traced = {"traceparent": f"00-{_TRACE}-{_PARENT}-01"}
    answer = rest.send("POST", f"/serving-endpoints/{name}/invocations", CHAT, headers=traced)
    sql = (
        "select *, attributes['modelplane.request_id'] as id, attributes['gen_ai.request.model'] "
        f"as model from main.otel.{name}_spans order by kind desc"
    )
    wait_for(lambda: len(rows(system, sql)) == 2)
    call, attempt = rows(system, sql)
    assert (call["trace_id"], call["parent_span_id"]) == (_TRACE, _PARENT)
    assert (call["kind"], attempt["kind"]) == ("SPAN_KIND_SERVER", "SPAN_KIND_CLIENT")
    assert (attempt["trace_id"], attempt["parent_span_id"]) == (_TRACE, call["span_id"])
    assert call["id"] == answer.headers["x-request-id"]
    assert (call["service_name"], attempt["model"]) == (name, "gpt-4")
    wait_for(lambda: len(rows(system, f"select * from main.otel.{name}_logs")) == 1)
    [log] = rows(system, f"select * from main.otel.{name}_logs")
    assert (log["trace_id"], log["span_id"]) == (_TRACE, call["span_id"])
    sql = (
        "select sum(histogram['count']) as n, sum(histogram['sum']) as tokens "
        f"from main.otel.{name}_metrics where name = 'gen_ai.client.token.usage'"
    )
    wait_for(lambda: (rows(system, sql) or [{}])[0].get("n") == 2)
    assert rows(system, sql)[0]["tokens"] == answer.json()["usage"]["total_tokens"]


def test_what_is_removed_is_told_no_longer(
    system: System, rest: Rest, provider: OpenAiEmulator
) -> None:
    name = next(_NAMES)
    rest.create(endpoint(name, entity(provider, "gpt")))
    tell(system, name)
    refused = rest.query(name, CHAT | {"messages": []})
    serving = connect(system, system.token).serving_endpoints
    assert serving.patch_telemetry_config(name).telemetry_config is None
    assert rest.query(name, CHAT).status_code == 200
    tell(system, name)
    last = rest.query(name, CHAT)
    sql = (
        "select attributes['modelplane.request_id'] as id, severity_text as severity "
        f"from main.otel.{name}_logs order by time"
    )
    wait_for(lambda: len(rows(system, sql)) == 2)
    assert rows(system, sql) == [
        {"id": refused.headers["x-request-id"], "severity": "WARN"},
        {"id": last.headers["x-request-id"], "severity": "INFO"},
    ]
    profile = TelemetryConfig(telemetry_profile_id="p")
    with pytest.raises(InvalidParameterValue, match="name the tables in table_names"):
        serving.patch_telemetry_config(name, telemetry_config=profile)


def test_payloads_are_recorded_in_a_table_beside_the_log(
    system: System, rest: Rest, provider: OpenAiEmulator
) -> None:
    name = next(_NAMES)
    payloads = "TELEMETRY_FEATURE_INFERENCE_TABLE"
    config = {
        "enabled_telemetry_features": [payloads],
        "table_names": {"logs_table": "Main.otel.beside"},
        "inference_table_config": {"sampling_fraction": 0.5},
    }
    made = rest.create(endpoint(name, entity(provider, "gpt"), telemetry_config=config))
    shown = {"name": "main.otel.beside_payload", "sampling_fraction": 0.5}
    assert made["telemetry_config"] == {
        "enabled_telemetry_features": [payloads],
        "inference_table_config": shown,
    }
    for _ in range(20):
        assert rest.query(name, CHAT).status_code == 200
    for _ in range(3):
        assert rest.query(name, {"messages": []}).status_code == 400
    sql = "select * from main.otel.beside_payload"
    wait_for(lambda: sum(one["status_code"] == 400 for one in rows(system, sql)) == 3)
    recorded = [one for one in rows(system, sql) if one["status_code"] == 200]
    # That all or none of twenty are drawn happens once in half a million runs.
    assert 0 < len(recorded) < 20
    assert {one["sampling_fraction"] for one in recorded} == {0.5}
    assert json.loads(recorded[0]["request"]) == CHAT
    assert rows(system, "select * from main.otel.beside") == []
    # Payloads go to one table, and a table is one endpoint's, and has rows of one kind.
    gateway = f"{ENDPOINTS}/{name}/ai-gateway"
    why = refusal(rest, "PUT", gateway, {"inference_table_config": TABLE})
    assert "both record payloads" in why
    path = f"{ENDPOINTS}/{name}/telemetry-config"
    other = {"table_names": {"traces_table": "main.otel.beside_payload"}}
    assert "rows of another kind" in refusal(rest, "PATCH", path, {"telemetry_config": other})
    body = endpoint(next(_NAMES), entity(provider), telemetry_config=config)
    assert "another endpoint" in refusal(rest, "POST", ENDPOINTS, body)


def test_payloads_go_to_one_table(rest: Rest, provider: OpenAiEmulator) -> None:
    config = {"table_names": {"logs_table": "main.otel.twice"}}
    body = endpoint(next(_NAMES), entity(provider), telemetry_config=config)
    body["ai_gateway"] = {"inference_table_config": TABLE}
    assert "both record payloads" in refusal(rest, "POST", ENDPOINTS, body)
