"""What a worker records of calls: what was asked and answered, however it ended, and no secret."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig, InferenceTableConfig
from modelserving.v1.guardrail_policy_pb2 import GuardrailPolicy, KeywordDetector, PiiDetector
from modelserving.worker.v1.snapshot_pb2 import PERMISSION_LEVEL_CAN_VIEW, Grant

from modelplane.data_plane.payloads.row import PayloadRow
from tests.data_plane.conftest import WALL_MS, System, running_system
from tests.data_plane.corpus import CASES
from tests.data_plane.envoy import Bridge
from tests.data_plane.fakes import FakeControlPlane
from tests.data_plane.messages import TOKEN, endpoint, endpoint_config, principal, snapshot, token
from tests.data_plane.payloads.journal_files import names_in, rows_below
from tests.data_plane.typed import call_stream, call_unary
from tests.emulators.openai import API_KEY, Fault

CHAT: dict[str, Any] = {
    "messages": [{"role": "user", "content": "hello there"}],
    "tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}],
}
STREAM = CHAT | {"stream": True}
TABLE = AiGatewayConfig(
    inference_table_config=InferenceTableConfig(
        enabled=True, catalog_name="Main", schema_name="logs"
    )
)


@pytest.fixture
async def recorded(
    bridge: Bridge, control_plane: FakeControlPlane, tmp_path: Path
) -> AsyncIterator[System]:
    """A system with one endpoint that has a table, and one that has none."""
    async with running_system(bridge, control_plane, tmp_path, payload_max_bytes=4_000) as system:
        config = endpoint_config(system.entity(), version=7)
        grant = Grant(grantee_id="id-viewer", level=PERMISSION_LEVEL_CAN_VIEW)
        await system.apply(
            snapshot(
                1,
                endpoint("chat", config, ai_gateway=TABLE, grants=[grant]),
                endpoint("quiet", config),
                tokens=(token(), token("viewer-token", id="t2", principal_id="id-viewer")),
                principals=(principal(), principal("viewer")),
            )
        )
        yield system


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return tmp_path / "payloads"


def only(files: Path) -> PayloadRow:
    [row] = rows_below(files)
    return row


def answer_in(row: PayloadRow) -> Any:
    assert row.response is not None
    return json.loads(row.response)


async def test_a_call_is_recorded_with_all_that_is_known(recorded: System, files: Path) -> None:
    body = CHAT | {"client_request_id": "mine", "usage_context": {"team": "a"}}
    answer = await recorded.query("chat", body, x_request_id="req-1")
    row = only(files)
    assert row.location == "main/logs/chat_payload"
    assert row.errors == ()
    assert json.loads(row.request or b"") == body
    assert row.response == b"".join(answer.messages)
    facts: dict[str, Any] = dict(row.facts)
    assert facts.pop("request_time") <= WALL_MS
    assert facts.pop("execution_duration_ms") >= 0
    assert len(facts.pop("invocation_id")) == 32
    assert facts == {
        "databricks_request_id": "req-1",
        "client_request_id": "mine",
        "status_code": 200,
        "sampling_fraction": 1.0,
        "served_entity_id": "gpt-4",
        "requester": "id-admin",
        "endpoint_name": "chat",
        "config_version": 7,
        "attempts": 1,
        "request_tags": {"team": "a"},
        "guardrail_action": None,
    }
    everything = row.encode()
    assert API_KEY.encode() not in everything
    assert TOKEN.encode() not in everything


async def test_an_endpoint_without_a_table_leaves_no_trace(recorded: System, files: Path) -> None:
    assert (await recorded.query("quiet", CHAT)).status == 200
    assert names_in(files.parent) == ["journal"]


@pytest.mark.parametrize("body", [CHAT, CHAT | {"n": 3}, CHAT | {"logprobs": True}])
async def test_a_stream_is_recorded_as_the_whole_answer(
    recorded: System, files: Path, body: dict[str, Any]
) -> None:
    await recorded.query("chat", body)
    await recorded.query("chat", body | {"stream": True})
    whole, streamed = map(answer_in, rows_below(files))
    for answer in (whole, streamed):
        assert answer.pop("id")
        assert answer.pop("created")
    assert streamed["choices"]
    assert _bare(streamed) == _bare(whole)


def _bare(value: Any) -> Any:
    """Return JSON without nulls, which chunks do not repeat."""
    if isinstance(value, dict):
        # The emulated provider says these only in whole answers.
        kept = {name: value[name] for name in value.keys() - {"annotations", "service_tier"}}
        return {name: _bare(item) for name, item in kept.items() if item is not None}
    return [_bare(item) for item in value] if isinstance(value, list) else value


async def test_typed_calls_are_recorded_as_json(recorded: System, files: Path) -> None:
    case = CASES["chat"] if "chat" in CASES else next(iter(CASES.values()))
    metadata = (("authorization", f"Bearer {TOKEN}"),)
    await call_unary(
        recorded.channel,
        case,
        metadata,
    )
    await call_stream(recorded.channel, case, metadata)
    rows = rows_below(files)
    assert [row.errors for row in rows] == [(), ()]
    for row in rows:
        assert json.loads(row.request or b"")["messages"]
        assert answer_in(row)["choices"][0]["message"]["role"] == "assistant"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (CHAT | {"messages": []}, 400, "INVALID_PARAMETER_VALUE"),
        (b'{"messages": "\xff"}', 400, "BAD_REQUEST"),
    ],
)
async def test_a_refused_call_is_recorded_with_its_refusal(
    recorded: System, files: Path, body: Any, status: int, code: str
) -> None:
    assert (await recorded.query("chat", body)).status == status
    row = only(files)
    assert (row.facts["status_code"], answer_in(row)["error_code"]) == (status, code)
    assert row.request == (body if isinstance(body, bytes) else json.dumps(body).encode())


async def test_a_caller_without_permission_leaves_nothing_of_theirs(
    recorded: System, files: Path
) -> None:
    answer = await recorded.query("chat", CHAT, token="viewer-token")
    row = only(files)
    assert (answer.status, row.facts["status_code"], row.request) == (403, 403, None)
    assert row.facts["requester"] == "id-viewer"
    assert (await recorded.query("chat", CHAT, token="nobody")).status == 401
    assert len(rows_below(files)) == 1


@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["whole", "stream"])
async def test_a_provider_that_fails_is_recorded(
    recorded: System, files: Path, body: dict[str, Any]
) -> None:
    recorded.emulator.fail(status=400, body={"error": {"message": "not this"}})
    assert (await recorded.query("chat", body)).status == 400
    row = only(files)
    assert row.facts["status_code"] == 400
    assert "not this" in answer_in(row)["message"]
    assert json.loads(row.request or b"") == body


async def test_a_stream_that_breaks_off_is_recorded_as_far_as_it_came(
    recorded: System, files: Path
) -> None:
    recorded.emulator.misbehave("truncate", after_events=3)
    await recorded.query("chat", STREAM)
    row = only(files)
    assert row.errors == ("STREAM_FAILED",)
    answer = answer_in(row)
    assert answer["choices"][0]["message"]["content"]
    assert answer["error"]["code"] == "TEMPORARILY_UNAVAILABLE"


@pytest.mark.parametrize("kind", ["stall", "stall_stream"])
async def test_a_caller_who_leaves_is_recorded(recorded: System, files: Path, kind: Any) -> None:
    recorded.emulator.faults.put("gpt-4", Fault(kind, after_events=2))
    call = recorded.start_query("chat", STREAM)
    if kind == "stall_stream":
        await call.read()
    else:
        while not recorded.emulator.requests:
            await asyncio.sleep(0.01)
    call.cancel()
    await recorded.emulator.seen_cancelled.wait()
    while not rows_below(files):
        await asyncio.sleep(0.01)
    row = only(files)
    assert (row.errors, row.facts["status_code"]) == (("CLIENT_CANCELLED",), 499)
    assert json.loads(row.request or b"") == STREAM
    assert (row.response is not None) == (kind == "stall_stream")


async def test_bodies_that_are_too_large_are_left_out(recorded: System, files: Path) -> None:
    long = CHAT | {"messages": [{"role": "user", "content": "word " * 1_000}]}
    assert (await recorded.query("chat", long)).status == 200
    assert (await recorded.query("chat", long | {"stream": True})).status == 200
    for row in rows_below(files):
        assert (row.request, row.response) == (None, None)
        assert set(row.errors) == {"MAX_REQUEST_SIZE_EXCEEDED", "MAX_RESPONSE_SIZE_EXCEEDED"}


async def test_a_failed_attempt_leaves_nothing_in_the_answer_of_the_next(
    bridge: Bridge, control_plane: FakeControlPlane, tmp_path: Path
) -> None:
    gateway = AiGatewayConfig()
    gateway.CopyFrom(TABLE)
    gateway.fallback_config.enabled = True
    async with running_system(bridge, control_plane, tmp_path) as system:
        entities = system.entity("first"), system.entity("second", model="gpt-4o")
        config = endpoint_config(*entities, split={"first": 100, "second": 0})
        await system.apply(snapshot(1, endpoint("chat", config, ai_gateway=gateway)))
        system.emulator.faults.put("gpt-4", Fault("error_event", after_events=0))
        await system.query("chat", STREAM)
        await system.query("chat", CHAT)
        streamed, whole = map(answer_in, rows_below(tmp_path / "payloads"))
        assert _bare(streamed["choices"]) == _bare(whole["choices"])
        [row, _] = rows_below(tmp_path / "payloads")
        assert (row.facts["served_entity_id"], row.facts["attempts"]) == ("second", 4)


async def test_policies_alone_redact_requests(
    bridge: Bridge, control_plane: FakeControlPlane, tmp_path: Path
) -> None:
    gateway = AiGatewayConfig()
    gateway.CopyFrom(TABLE)
    gateway.inference_table_config.redact = "masked"
    masking = GuardrailPolicy(name="mask", phases=["input"], action="mask", pii=PiiDetector())
    blocking = GuardrailPolicy(name="no", keywords=KeywordDetector(words=["abracadabra"]))
    async with running_system(bridge, control_plane, tmp_path) as system:
        config = endpoint_config(system.entity())
        policies = [masking, blocking]
        await system.apply(
            snapshot(1, endpoint("chat", config, ai_gateway=gateway, policies=policies))
        )
        told = ("no one here", "write to jane@example.com", "jane@example.com: abracadabra")
        for text, status in zip(told, (200, 200, 400), strict=True):
            body = {"messages": [{"role": "user", "content": text}]}
            assert (await system.query("chat", body)).status == status
    plain, masked, blocked = rows_below(tmp_path / "payloads")
    texts = [json.loads(row.request or b"")["messages"][0]["content"] for row in (plain, masked)]
    assert texts == ["no one here", "write to <EMAIL_ADDRESS>"]
    assert (blocked.request, blocked.errors) == (None, ("REQUEST_REDACTED",))
