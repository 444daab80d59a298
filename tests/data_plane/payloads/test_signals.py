"""What a worker records of calls for tables of telemetry: spans, a record, and measurements."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig, FallbackConfig
from modelserving.v1.telemetry_pb2 import TelemetryConfig, UnityCatalogTableNames

from modelplane.data_plane.payloads import log
from modelplane.data_plane.payloads.row import DROPPED
from tests.data_plane.conftest import WALL_MS, System, running_system
from tests.data_plane.envoy import Bridge
from tests.data_plane.fakes import FakeControlPlane
from tests.data_plane.messages import endpoint, endpoint_config, snapshot, token
from tests.data_plane.payloads.journal_files import names_in, rows_below
from tests.emulators.openai import Fault

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "a very private question"}]}
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
FEATURES = [f"TELEMETRY_FEATURE_{name}" for name in ("LOGS", "METRICS", "TRACES")]
CONFIG = TelemetryConfig(
    enabled_telemetry_features=FEATURES,
    table_names=UnityCatalogTableNames(
        logs_table="A.b.l", metrics_table="a.b.m", traces_table="a.b.s"
    ),
)


@pytest.fixture
async def told(
    bridge: Bridge, control_plane: FakeControlPlane, tmp_path: Path
) -> AsyncIterator[System]:
    """A system whose endpoints are told of in tables, but for the one called `quiet`."""
    async with running_system(bridge, control_plane, tmp_path) as system:
        fallback = AiGatewayConfig(fallback_config=FallbackConfig(enabled=True))
        pair = system.entity("first"), system.entity("second", model="gpt-4o")
        split = {"first": 100, "second": 0}
        await system.apply(
            snapshot(
                1,
                endpoint(
                    "chat", endpoint_config(system.entity(), version=7), telemetry_config=CONFIG
                ),
                endpoint(
                    "pair",
                    endpoint_config(*pair, split=split),
                    ai_gateway=fallback,
                    telemetry_config=CONFIG,
                ),
                endpoint("quiet", endpoint_config(system.entity())),
                tokens=(token(),),
            )
        )
        yield system


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return tmp_path / "payloads"


def facts_in(files: Path) -> dict[str, dict[str, Any]]:
    """Return the facts of the one row for each table."""
    rows = rows_below(files)
    assert {row.location for row in rows} == {"a/b/l", "a/b/m", "a/b/s"}
    assert len(rows) == 3
    assert b"private" not in b"".join(row.encode() for row in rows)
    return {row.kind: dict(row.facts) for row in rows}


async def test_a_call_is_told_in_each_table(told: System, files: Path) -> None:
    traced = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    answer = await told.query("chat", CHAT, x_request_id="req-1", **traced)
    facts = facts_in(files)
    call, attempt = facts["spans"]["spans"]
    assert (facts["spans"]["trace"], call["parent"]) == (TRACE, PARENT)
    assert (call["kind"], call["name"], call["failed"]) == ("SERVER", "chat chat", False)
    assert (attempt["kind"], attempt["name"], attempt["parent"]) == (
        "CLIENT",
        "chat gpt-4",
        call["id"],
    )
    assert call["start"] <= attempt["start"] <= attempt["end"] <= call["end"]
    assert abs(call["end"] - WALL_MS * 1e6) < 1e9
    usage = answer.json["usage"]
    tokens = {
        "gen_ai.usage.input_tokens": usage["prompt_tokens"],
        "gen_ai.usage.output_tokens": usage["completion_tokens"],
    }
    assert call["attributes"] == tokens | {
        "http.response.status_code": 200,
        "modelplane.request_id": "req-1",
        "gen_ai.request.stream": False,
        "gen_ai.request.model": "chat",
        "modelplane.config_version": 7,
        "modelplane.served_entity": "gpt-4",
        "gen_ai.provider.name": "openai",
    }
    assert attempt["attributes"]["gen_ai.response.model"].startswith("gpt-4")
    assert attempt["attributes"]["server.address"] == "127.0.0.1"
    record = facts["logs"]
    assert (record["trace"], record["span"], record["severity"]) == (TRACE, call["id"], "INFO")
    assert record["attributes"]["enduser.id"] == "id-admin"
    names = sorted(name for name, *_ in facts["metrics"]["points"])
    tokens_twice = ["gen_ai.client.token.usage"] * 2
    assert names[1:3] == tokens_twice
    assert [names[0], *names[3:]] == [
        "gen_ai.client.operation.duration",
        "gen_ai.server.request.duration",
    ]


async def test_attempts_that_fail_are_spans_too(told: System, files: Path) -> None:
    told.emulator.faults.put("gpt-4", Fault("status", status=503))
    answer = await told.query("pair", CHAT)
    assert answer.status == 200
    _, *attempts = facts_in(files)["spans"]["spans"]
    assert [one["failed"] for one in attempts] == [*[True] * (len(attempts) - 1), False]
    assert len(attempts) > 1
    assert attempts[-1]["attributes"]["gen_ai.request.model"] == "gpt-4o"


@pytest.mark.parametrize(
    "traceparent", ["", f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01", "00-x"]
)
async def test_a_call_without_a_trace_begins_one(
    told: System, files: Path, traceparent: str
) -> None:
    answer = await told.query("chat", {"messages": []}, traceparent=traceparent)
    assert answer.status == 400
    facts = facts_in(files)
    [call] = facts["spans"]["spans"]
    assert call["parent"] is None
    assert len(facts["spans"]["trace"]) == 32
    assert facts["spans"]["trace"] not in (TRACE, "0" * 32)
    assert facts["logs"]["severity"] == "WARN"
    assert facts["logs"]["body"] != "answered"


async def test_what_cannot_be_told_costs_no_answer(
    told: System, files: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise TypeError("an integer is too long")

    monkeypatch.setattr(log, "build_rows", fail)
    assert (await told.query("chat", CHAT)).status == 200
    assert names_in(files) == []
    assert "a call is not told in tables of telemetry" in caplog.text


async def test_others_leave_no_trace(told: System, files: Path) -> None:
    assert (await told.query("quiet", CHAT)).status == 200
    assert names_in(files) == []


async def test_rows_without_bodies_have_none_to_drop(told: System, files: Path) -> None:
    await told.query("chat", CHAT)
    for row in rows_below(files):
        assert row.without_bodies() == row
        assert DROPPED not in row.errors
