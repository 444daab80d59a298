"""A whole worker with a collector; what it tells is complete once the worker has stopped."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig, FallbackConfig
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from prometheus_client import CollectorRegistry

from modelplane.data_plane.process import Clocks
from modelplane.data_plane.settings import Settings
from tests.data_plane.conftest import Answer, System, serving
from tests.data_plane.envoy import Bridge
from tests.data_plane.fakes import FakeControlPlane, MovableClock
from tests.data_plane.messages import endpoint, endpoint_config, snapshot, token
from tests.emulators.openai import API_KEY, OpenAiEmulator
from tests.emulators.otlp import Collector, Stalled, attributes, running_collector

PROMPT = "a very private question"
HELLO = {"messages": [{"role": "user", "content": PROMPT}]}
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}
NOT_SAMPLED = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-00"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with running_collector() as running:
        yield running


@asynccontextmanager
async def telling(bridge: Bridge, tmp_path: Path, url: str, **fields: Any) -> AsyncIterator[System]:
    """Run a worker that tells the collector at `url` of its calls."""
    control_plane, registry, clock = FakeControlPlane(), CollectorRegistry(), MovableClock()
    await control_plane.start()
    settings = Settings(
        control_plane=control_plane.target,
        worker_id="worker-1",
        allowed_upstreams="127.0.0.1",
        journal_dir=str(tmp_path),
        drain_seconds=1.0,
        otlp_endpoint=url,
        **fields,
    )
    clocks = Clocks(clock, asyncio.sleep, Random(1))
    async with (
        OpenAiEmulator() as emulator,
        serving(bridge, settings, registry, clocks) as channel,
    ):
        system = System(control_plane, emulator, registry, channel, clock)
        await control_plane.next()
        fallback = AiGatewayConfig(fallback_config=FallbackConfig(enabled=True))
        entities = system.entity("first"), system.entity("second", model="gpt-4o")
        split = {"first": 100, "second": 0}
        message = snapshot(
            1,
            endpoint("chat", endpoint_config(system.entity("served"), version=7)),
            endpoint("pair", endpoint_config(*entities, split=split), ai_gateway=fallback),
            tokens=(token(),),
        )
        await system.apply(message)
        try:
            yield system
        finally:
            await control_plane.stop()


def sorted_spans(collector: Collector) -> tuple[Span, list[Span]]:
    """Return the one span of a call and those of its attempts, in order."""
    [call] = [span for span in collector.spans if span.kind == Span.SPAN_KIND_SERVER]
    attempts = [span for span in collector.spans if span.kind == Span.SPAN_KIND_CLIENT]
    attempts.sort(key=lambda span: span.start_time_unix_nano)
    assert len(attempts) == len(collector.spans) - 1
    for attempt in attempts:
        assert attempt.parent_span_id == call.span_id
        assert attempt.trace_id == call.trace_id
        assert call.start_time_unix_nano <= attempt.start_time_unix_nano
        assert attempt.start_time_unix_nano <= attempt.end_time_unix_nano
        assert attempt.end_time_unix_nano <= call.end_time_unix_nano
    return call, attempts


async def test_a_query_is_a_span_and_its_attempt_one_below_it(
    bridge: Bridge, tmp_path: Path, collector: Collector
) -> None:
    async with telling(bridge, tmp_path, collector.url) as system:
        answer = await system.query("chat", HELLO, x_request_id="req-1", **SAMPLED)
        port = int(system.emulator.url.rpartition(":")[2].partition("/")[0])
    assert answer.status == 200
    usage = answer.json["usage"]
    call, [attempt] = sorted_spans(collector)
    assert call.trace_id.hex() == TRACE_ID
    assert call.parent_span_id.hex() == PARENT_ID
    assert call.name == "chat chat"
    tokens = {
        "gen_ai.usage.input_tokens": usage["prompt_tokens"],
        "gen_ai.usage.output_tokens": usage["completion_tokens"],
    }
    assert attributes(call.attributes) == tokens | {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "chat",
        "gen_ai.request.stream": False,
        "http.response.status_code": 200,
        "modelplane.config_version": 7,
        "modelplane.request_id": "req-1",
        "modelplane.served_entity": "served",
    }
    assert attempt.name == "chat gpt-4"
    assert attributes(attempt.attributes) == tokens | {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4",
        "gen_ai.response.model": "gpt-4",
        "server.address": "127.0.0.1",
        "server.port": port,
    }
    assert {call.status.code, attempt.status.code} == {Status.STATUS_CODE_UNSET}
    assert collector.resource["service.name"] == "modelplane-worker"
    assert collector.resource["service.instance.id"] == "worker-1"


async def test_a_stream_is_told_of_with_its_first_chunk_and_its_usage(
    bridge: Bridge, tmp_path: Path, collector: Collector
) -> None:
    async with telling(bridge, tmp_path, collector.url) as system:
        answer = await system.query("chat", HELLO | {"stream": True})
        assert answer.events[-1] == "[DONE]"
    call, [attempt] = sorted_spans(collector)
    assert call.parent_span_id == b""
    told = attributes(call.attributes)
    assert told["gen_ai.request.stream"] is True
    assert 0 < told["gen_ai.response.time_to_first_chunk"] < 30
    assert told["gen_ai.usage.output_tokens"] > 0
    assert attributes(attempt.attributes)["gen_ai.response.model"] == "gpt-4"
    [first_chunk] = collector.points("gen_ai.server.time_to_first_token")
    assert first_chunk.count == 1


async def test_each_attempt_has_its_span_and_says_what_failed(
    bridge: Bridge, tmp_path: Path, collector: Collector
) -> None:
    async with telling(bridge, tmp_path, collector.url) as system:
        system.emulator.fail(status=429, retry_after=1, times=1)
        answer = await system.query("pair", HELLO)
        assert answer.headers["served-model-name"] == "second"
    call, attempts = sorted_spans(collector)
    told = [attributes(attempt.attributes) for attempt in attempts]
    assert [item["gen_ai.request.model"] for item in told] == ["gpt-4", "gpt-4o"]
    assert [item.get("error.type") for item in told] == ["RateLimited", None]
    assert [attempt.status.code for attempt in attempts] == [
        Status.STATUS_CODE_ERROR,
        Status.STATUS_CODE_UNSET,
    ]
    assert "gen_ai.usage.input_tokens" not in told[0]
    assert call.status.code == Status.STATUS_CODE_UNSET


async def test_a_call_that_fails_is_an_error_and_one_that_is_refused_is_none(
    bridge: Bridge, tmp_path: Path, collector: Collector
) -> None:
    async with telling(bridge, tmp_path, collector.url) as system:
        system.emulator.fail(status=500)
        failed = await system.query("chat", HELLO)
        refused = await system.query("chat", {})
        unknown = await system.query("chat", HELLO, token="wrong-token")
    calls = [span for span in collector.spans if span.kind == Span.SPAN_KIND_SERVER]
    statuses = [attributes(call.attributes)["http.response.status_code"] for call in calls]
    assert statuses == [failed.status, refused.status, unknown.status]
    assert statuses == [500, 400, 401]
    assert [call.status.code for call in calls] == [
        Status.STATUS_CODE_ERROR,
        Status.STATUS_CODE_UNSET,
        Status.STATUS_CODE_UNSET,
    ]
    errors = [attributes(call.attributes)["error.type"] for call in calls]
    assert errors[1:] == ["InvalidParameter", "Unauthenticated"]
    # Who is not known is not told which endpoints there are, nor is the collector.
    assert calls[2].name == "query"


async def test_a_caller_who_goes_away_leaves_a_span(
    bridge: Bridge, tmp_path: Path, collector: Collector
) -> None:
    async with telling(bridge, tmp_path, collector.url) as system:
        system.emulator.misbehave("stall_stream", after_events=1)
        call = system.start_query("chat", HELLO | {"stream": True})
        await call.read()
        call.cancel()
        await system.emulator.seen_cancelled.wait()
    span, [attempt] = sorted_spans(collector)
    assert attributes(span.attributes)["http.response.status_code"] == 499
    assert attributes(attempt.attributes)["error.type"] == "CancelledError"


async def test_metrics_measure_calls_and_attempts(
    bridge: Bridge, tmp_path: Path, collector: Collector
) -> None:
    async with telling(bridge, tmp_path, collector.url) as system:
        usages = [(await system.query("chat", HELLO)).json["usage"] for _ in range(3)]
    [calls] = collector.points("gen_ai.server.request.duration")
    [attempts] = collector.points("gen_ai.client.operation.duration")
    assert (calls.count, attempts.count) == (3, 3)
    assert attributes(calls.attributes)["gen_ai.request.model"] == "chat"
    assert attributes(attempts.attributes)["gen_ai.response.model"] == "gpt-4"
    tokens = {
        attributes(point.attributes)["gen_ai.token.type"]: point.sum
        for point in collector.points("gen_ai.client.token.usage")
    }
    assert tokens == {
        "input": sum(usage["prompt_tokens"] for usage in usages),
        "output": sum(usage["completion_tokens"] for usage in usages),
    }


async def test_a_ratio_decides_on_own_traces_and_the_caller_on_its_own(
    bridge: Bridge, tmp_path: Path, collector: Collector
) -> None:
    async with telling(bridge, tmp_path, collector.url, otlp_sampling_ratio=0.0) as system:
        for extra in ({}, NOT_SAMPLED, SAMPLED):
            await system.query("chat", HELLO, **extra)
    call, _ = sorted_spans(collector)
    assert call.trace_id.hex() == TRACE_ID
    [calls] = collector.points("gen_ai.server.request.duration")
    assert calls.count == 3


async def test_neither_prompts_nor_answers_nor_credentials_are_told(
    bridge: Bridge, tmp_path: Path, collector: Collector
) -> None:
    async with telling(bridge, tmp_path, collector.url) as system:
        answer = await system.query("chat", HELLO)
        bad = {"messages": [{"role": "user", "content": PROMPT}], "temperature": PROMPT}
        await system.query("chat", bad)
        said = answer.json["choices"][0]["message"]["content"]
    assert len(collector.spans) >= 3
    for private in (PROMPT, said, API_KEY, "dapi-test-token"):
        assert private not in collector.text


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "stalled"])
async def test_a_collector_that_is_away_costs_no_query_and_holds_up_no_stop(
    bridge: Bridge, tmp_path: Path, url: str
) -> None:
    stalled = Stalled()
    with running_collector(stalled) as collector:
        async with asyncio.timeout(240):
            target = collector.url if url == "stalled" else url
            async with telling(bridge, tmp_path, target) as system:
                answers: list[Answer] = [await system.query("chat", HELLO) for _ in range(20)]
            assert [answer.status for answer in answers] == [200] * 20
        assert stalled.called.is_set() is (url == "stalled")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"otlp_endpoint": "localhost:4317"}, "MODELPLANE_OTLP_ENDPOINT must begin"),
        (
            {"otlp_endpoint": "http://localhost:4317", "otlp_sampling_ratio": 2.0},
            "MODELPLANE_OTLP_SAMPLING_RATIO must be",
        ),
    ],
)
def test_settings_that_cannot_be_right_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        _ = Settings(**fields).collector


def test_without_a_collector_nothing_of_opentelemetry_is_loaded(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from prometheus_client import CollectorRegistry
from modelplane.data_plane.process import new_clocks, wall_ms
from modelplane.data_plane.settings import Settings
from modelplane.data_plane.worker import assembled
import modelplane.data_plane.server

async def main():
    settings = Settings(journal_dir=sys.argv[1], worker_id="w")
    async with assembled(settings, CollectorRegistry(), new_clocks(), wall_ms) as worker:
        assert worker.inference
    print(sorted(name for name in sys.modules if name.startswith("opentelemetry")))

asyncio.run(main())
"""
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=root,
        check=False,
    )
    assert done.stdout.strip() == "[]", done.stderr
