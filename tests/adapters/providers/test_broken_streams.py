"""What is known to have been used when a stream breaks, whatever breaks it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from modelplane.adapters.providers.types import Usage
from modelplane.data_plane.accounting import Accountant
from modelplane.data_plane.calls.record import Record
from modelplane.data_plane.telemetry.meters import Meters
from modelplane.data_plane.telemetry.metrics import Metrics
from tests.adapters.providers.conformance import (
    CASES,
    CapturedReply,
    Gateway,
    ProviderCase,
    open_gateway,
)
from tests.data_plane.fakes import NoLedger

STREAMS = [case for case in CASES if case.streams and case.task != "llm/v1/embeddings"]
# Those who count the prompt at the beginning, and the events after which they have.
EARLY = [
    ("anthropic/chat", 2),
    ("anthropic/prompt/completions", 2),
    ("amazon-bedrock/claude-3-haiku-20240307-v1:0/completions", 3),
    ("amazon-bedrock/titan-text-express-v1/completions", 1),
    ("amazon-bedrock/llama3-8b-instruct-v1:0/completions", 1),
    ("google-cloud-vertex-ai/claude-3-5-sonnet@20240620/chat", 2),
    ("google-cloud-vertex-ai/gemini-1.5-pro/chat", 1),
]


class Recorder(Accountant):
    """Keeps the records."""

    def __init__(self) -> None:
        super().__init__(Metrics(CollectorRegistry()), Meters(), NoLedger(), lambda: 0.0)
        self.records: list[Record] = []

    def open(self, request_id: str, metadata: Mapping[str, str]) -> Record:
        self.records.append(super().open(request_id, metadata))
        return self.records[-1]


def watched(gateway: Gateway) -> tuple[Gateway, Sequence[Record]]:
    recorder = Recorder()
    return replace(gateway, accountant=recorder), recorder.records


def find(name: str) -> ProviderCase:
    return next(case for case in CASES if case.name == name)


@pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.name)
async def test_no_break_invents_usage(case: ProviderCase) -> None:
    async with open_gateway(case) as running:
        gateway, records = watched(running)
        await gateway.ask(stream=True)
        complete = records[-1].usage
        assert complete is not None
        for count in range(4):
            gateway.emulator.misbehave("truncate", after_events=count)
            await gateway.outcome(stream=True)
            usage = records[-1].usage or Usage()
            assert usage.input_tokens in (None, complete.input_tokens)
            assert (usage.output_tokens or 0) <= (complete.output_tokens or 0)


@pytest.mark.parametrize("kind", ["truncate", "end_early", "error_event"])
@pytest.mark.parametrize(("name", "events"), EARLY)
async def test_a_counted_prompt_is_kept(name: str, events: int, kind: Any) -> None:
    async with open_gateway(find(name)) as running:
        gateway, records = watched(running)
        await gateway.ask(stream=True)
        complete = records[-1].usage
        gateway.emulator.misbehave(kind, after_events=events)
        outcome = await gateway.outcome(stream=True)
        assert not isinstance(outcome, CapturedReply) or outcome.refusal
        assert complete is not None
        assert records[-1].usage is not None
        assert records[-1].usage.input_tokens == complete.input_tokens


async def test_the_output_is_not_known_before_its_end() -> None:
    async with open_gateway(find("anthropic/chat")) as running:
        gateway, records = watched(running)
        await gateway.ask(stream=True)
        complete = records[-1].usage
        assert complete is not None
        gateway.emulator.misbehave("truncate", after_events=4)
        await gateway.outcome(stream=True)
        assert records[-1].usage == Usage(complete.input_tokens, None)


async def test_a_caller_who_leaves_has_used_the_prompt() -> None:
    async with open_gateway(find("anthropic/chat")) as running:
        gateway, records = watched(running)
        await gateway.ask(stream=True)
        complete = records[-1].usage
        assert complete is not None
        gateway.emulator.misbehave("stall_stream", after_events=2)
        reply = CapturedReply()
        call = asyncio.create_task(gateway.put(reply, stream=True))
        async with asyncio.timeout(60):
            while not reply.chunks:
                await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert records[-1].usage == Usage(complete.input_tokens, None)
