"""What a whole worker writes into its journal for each kind of call."""

import asyncio
from pathlib import Path
from random import Random

import pytest
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig, UsageTrackingConfig
from modelserving.worker.v1.usage_service_pb2 import UsageEntry
from prometheus_client import CollectorRegistry

from modelplane.adapters.providers.types import Query
from modelplane.data_plane.calls.record import Record
from modelplane.data_plane.snapshots.callers import Principal
from modelplane.data_plane.snapshots.compilation import compile_endpoint
from modelplane.data_plane.usage.journal import Journal
from modelplane.data_plane.usage.journal_metrics import JournalMetrics
from modelplane.data_plane.usage.journal_segment import SegmentReader
from modelplane.data_plane.usage.ledger import UsageLedger
from tests.data_plane.conftest import WALL_MS, System
from tests.data_plane.fakes import FakeClock
from tests.data_plane.messages import (
    EMBEDDINGS,
    endpoint,
    endpoint_config,
    external_entity,
    principal,
    snapshot,
    token,
)

HELLO = {"messages": [{"role": "user", "content": "hello there"}]}
TRACKED = AiGatewayConfig(usage_tracking_config=UsageTrackingConfig(enabled=True))


@pytest.fixture
async def served(system: System) -> System:
    chat = endpoint_config(system.entity("served-gpt"), version=7)
    embedding = system.entity("vector", task=EMBEDDINGS, model="text-embedding-3-small")
    await system.apply(
        snapshot(
            1,
            endpoint("chat", chat, ai_gateway=TRACKED),
            endpoint("embeddings", endpoint_config(embedding), ai_gateway=TRACKED),
            endpoint("untracked", chat),
            tokens=(token(),),
            principals=(principal(),),
        )
    )
    return system


def journal(tmp_path: Path) -> tuple[list[UsageEntry], list[UsageEntry]]:
    """Return the queries that have ended, and those that have not."""
    ended: list[UsageEntry] = []
    running: list[UsageEntry] = []
    for path in (tmp_path / "journal").glob("*/0*"):
        with path.open("rb") as file:
            reader = SegmentReader(file.fileno())
            found = reader.read(1 << 20, path.stat().st_size)
            ended += [UsageEntry.FromString(entry.intent + entry.outcome) for entry in found]
            running += [UsageEntry.FromString(intent) for intent in reader.unfinished.values()]
    return ended, running


async def test_an_answered_query_is_written(served: System, tmp_path: Path) -> None:
    labels = {"usage_context": {"team": "a"}, "client_request_id": "c-1"}
    answer = await served.query("chat", HELLO | labels, x_request_id="req-1")
    [[entry], running] = journal(tmp_path)
    assert running == []
    assert entry.request_id == "req-1"
    assert entry.client_request_id == "c-1"
    assert dict(entry.usage_context) == {"team": "a"}
    assert entry.time_ms == pytest.approx(WALL_MS, abs=2000)
    assert (entry.endpoint_id, entry.endpoint_name) == ("id-chat", "chat")
    assert (entry.config_version, entry.task) == (7, "llm/v1/chat")
    assert (entry.requester_id, entry.requester) == ("id-admin", "admin")
    assert (entry.streaming, entry.input_characters) == (False, len("hello there"))
    outcome = entry.outcome
    assert (outcome.status_code, outcome.error) == (200, "")
    assert outcome.served_entity_name == "served-gpt"
    assert outcome.input_tokens == answer.json["usage"]["prompt_tokens"]
    assert outcome.output_tokens == answer.json["usage"]["completion_tokens"]
    assert not outcome.estimated
    content = answer.json["choices"][0]["message"]["content"]
    assert outcome.output_characters == len(content)
    assert outcome.latency_ms > 0
    assert not outcome.HasField("first_chunk_ms")
    [attempt] = outcome.attempts
    assert (attempt.served_entity_name, attempt.error) == ("served-gpt", "")


async def test_labels_do_not_reach_the_provider(served: System) -> None:
    await served.query("chat", HELLO | {"usage_context": {"a": "b"}, "client_request_id": "c"})
    # The emulator refuses fields that it does not know, so it has answered without them.
    assert len(served.emulator.requests) == 1


async def test_a_stream_is_written_with_the_time_of_its_first_chunk(
    served: System, tmp_path: Path
) -> None:
    answer = await served.query("chat", HELLO | {"stream": True})
    [[entry], _] = journal(tmp_path)
    assert entry.streaming
    assert 0 < entry.outcome.first_chunk_ms <= entry.outcome.latency_ms
    texts = [event["choices"][0]["delta"].get("content") or "" for event in answer.events[:-1]]
    assert entry.outcome.output_characters == len("".join(texts)) > 0
    assert entry.outcome.output_tokens > 0
    assert not entry.outcome.estimated


async def test_embeddings_have_no_output_tokens(served: System, tmp_path: Path) -> None:
    await served.query("embeddings", {"input": ["one", "two"]})
    [[entry], _] = journal(tmp_path)
    assert entry.input_characters == 6
    assert entry.outcome.input_tokens > 0
    assert not entry.outcome.HasField("output_tokens")


async def test_endpoints_without_tracking_write_nothing(served: System, tmp_path: Path) -> None:
    assert (await served.query("untracked", HELLO)).status == 200
    assert journal(tmp_path) == ([], [])
    assert not list((tmp_path / "journal").glob("*/0*"))


@pytest.mark.parametrize("name", ["chat", "untracked"])
async def test_labels_of_another_form_are_refused_and_nothing_is_written(
    served: System, tmp_path: Path, name: str
) -> None:
    answer = await served.query(name, HELLO | {"usage_context": {"a": 1}})
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE")
    assert "'usage_context' must be an object whose values are texts" in answer.message
    assert journal(tmp_path) == ([], [])


async def test_an_upstream_that_fails_is_written_without_tokens(
    served: System, tmp_path: Path
) -> None:
    served.emulator.fail(status=400)
    answer = await served.query("chat", HELLO)
    [[entry], _] = journal(tmp_path)
    assert entry.outcome.status_code == answer.status == 400
    assert entry.outcome.error == "RequestRefused"
    assert not entry.outcome.HasField("input_tokens")
    assert not entry.outcome.estimated


async def test_an_intent_is_there_while_the_query_is_answered_and_a_cancel_is_an_outcome(
    served: System, tmp_path: Path
) -> None:
    served.emulator.misbehave("stall_stream", after_events=2)
    call = served.start_query("chat", HELLO | {"stream": True})
    await call.read()
    [finished, [running]] = journal(tmp_path)
    assert finished == []
    assert running.streaming
    call.cancel()
    async with asyncio.timeout(120):
        while not journal(tmp_path)[0]:
            await asyncio.sleep(0.01)
    [[entry], _] = journal(tmp_path)
    assert entry.outcome.status_code == 499
    assert entry.outcome.estimated
    assert entry.outcome.input_tokens == 3


async def test_the_journal_reaches_the_control_plane(served: System) -> None:
    await served.query("chat", HELLO, x_request_id="req-1")
    async with asyncio.timeout(120):
        while not served.control_plane.usage.requests:
            await asyncio.sleep(0.01)
    [request] = served.control_plane.usage.requests
    [entry] = request.entries
    assert (entry.request_id, entry.outcome.status_code) == ("req-1", 200)
    assert entry.key.startswith(request.journal_id)


def test_an_intent_and_an_outcome_are_written_at_once(tmp_path: Path, clock: FakeClock) -> None:
    metrics = JournalMetrics(CollectorRegistry())
    made = Journal(tmp_path / "journal", metrics, clock, max_bytes=1 << 30)
    ledger = UsageLedger(made, clock, lambda: WALL_MS)
    config = endpoint_config(external_entity("gpt-4", openai_api_key_plaintext="sk"))
    compiled, _ = compile_endpoint(endpoint("chat", config, ai_gateway=TRACKED), None, Random(1))
    record = Record("r", 0.0, Principal("id", "name"), compiled, compiled.active)
    ledger.begin(record, Query({**HELLO}, stream=False))
    assert [len(found) for found in journal(tmp_path)] == [0, 1]
    ledger.end(record)
    assert [len(found) for found in journal(tmp_path)] == [1, 0]
    made.close()


def test_a_clock_that_jumps_changes_when_a_call_was_and_not_how_long(
    tmp_path: Path, clock: FakeClock
) -> None:
    metrics = JournalMetrics(CollectorRegistry())
    made = Journal(tmp_path / "journal", metrics, clock, max_bytes=1 << 30)
    wall_ms = WALL_MS
    ledger = UsageLedger(made, clock, lambda: wall_ms)
    config = endpoint_config(external_entity("gpt-4", openai_api_key_plaintext="sk"))
    compiled, _ = compile_endpoint(endpoint("chat", config, ai_gateway=TRACKED), None, Random(1))
    hour = 3_600_000.0
    for jump in (0.0, hour, -2 * hour, hour):
        record = Record("r", clock.now, Principal("id", "name"), compiled, compiled.active)
        ledger.begin(record, Query({**HELLO}, stream=False))
        # In the middle of a call of two seconds.
        wall_ms += jump
        clock.now += 2
        ledger.end(record)
    ended, running = journal(tmp_path)
    assert (len(ended), running) == (4, [])
    assert len({entry.key for entry in ended}) == 4
    assert {entry.outcome.latency_ms for entry in ended} == {2000}
    times = [entry.time_ms - WALL_MS for entry in ended]
    assert times == [0, 0, hour, -hour]
    made.close()
