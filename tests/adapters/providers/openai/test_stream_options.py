"""Servers that refuse `stream_options`, which the caller may not have asked for."""

from dataclasses import replace
from typing import Any

import pytest

from modelplane.adapters.providers.errors import ModelNotFound, RateLimited, RequestRefused
from modelplane.adapters.providers.openai.stream_options import UsageOption
from modelplane.adapters.providers.types import JsonObject, Task
from tests.adapters.providers.conformance import CASES, Gateway, ProviderCase, open_gateway

OPENAI_LIKE = ("openai", "custom", "databricks-model-serving")
STREAMS = [case for case in CASES if case.provider in OPENAI_LIKE and case.task != Task.EMBEDDINGS]
each_stream = pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.name)


def without_options(case: ProviderCase) -> ProviderCase:
    """Return a case whose server does not know the parameter."""

    def emulator() -> Any:
        built: Any = case.emulator()
        built.knows_stream_options = False
        return built

    return replace(case, emulator=emulator)


def asked(gateway: Gateway) -> list[bool]:
    """Return of each request whether it asked for the usage."""
    return ["stream_options" in one.body for one in gateway.emulator.requests]  # type: ignore[attr-defined]


@each_stream
async def test_a_server_that_refuses_them_streams_and_is_not_asked_again(
    case: ProviderCase,
) -> None:
    async with open_gateway(without_options(case)) as gateway:
        for _ in range(3):
            answer = await gateway.ask(stream=True)
            assert answer.done
        assert asked(gateway) == [True, False, False, False]
        # The caller wanted the usage, and is told that it gets none.
        assert answer.metadata["x-modelplane-adapted-params"] == "stream_options=dropped"


@each_stream
async def test_a_server_that_takes_them_is_asked_each_time(case: ProviderCase) -> None:
    async with open_gateway(case) as gateway:
        assert (await gateway.ask(stream=True)).chunks[-1]["usage"]
        refused = await gateway.outcome(stream=True, temperature="hot")
        assert isinstance(refused, RequestRefused)
        assert asked(gateway) == [True, True]


async def test_what_is_refused_for_another_reason_says_nothing_of_them() -> None:
    async with open_gateway(STREAMS[0]) as gateway:
        assert isinstance(await gateway.outcome(stream=True, temperature="hot"), RequestRefused)
        assert asked(gateway) == [True]
        # Nor does a refusal that repeats the caller's own words.
        odd = {"messages": [{"role": "stream_options", "content": "x"}]}
        assert isinstance(await gateway.outcome(stream=True, **odd), RequestRefused)
        gateway.emulator.fail(status=400, body={"error": {"message": "no stream_options"}}, times=2)
        assert isinstance(await gateway.outcome(stream=True), RequestRefused)
        assert asked(gateway)[-2:] == [True, False]
        assert (await gateway.ask(stream=True)).chunks[-1]["usage"]


async def test_other_failures_are_not_asked_about() -> None:
    async with open_gateway(STREAMS[0]) as gateway:
        gateway.emulator.fail(status=429)
        assert isinstance(await gateway.outcome(stream=True), RateLimited)
        assert asked(gateway) == [True]


def put(option: UsageOption, **body: object) -> tuple[JsonObject, bool, tuple[str, ...]]:
    own: JsonObject = {**body}
    asks, left_out = option.put(own)
    return own, asks, left_out


def test_the_callers_other_options_stay() -> None:
    given = {"include_usage": False, "include_obfuscation": False}
    body, asks, _ = put(UsageOption(), stream_options=given)
    assert body == {"stream_options": {"include_usage": True, "include_obfuscation": False}}
    assert asks


def test_streams_that_are_refused_at_the_same_time_are_all_tried_without() -> None:
    option = UsageOption()
    refusal = RequestRefused("p", {"detail": [{"loc": ["body", "stream_options"]}]})
    assert option.note_refusal(refusal, asked=True)
    assert option.note_refusal(refusal, asked=True)
    assert put(option)[0] == {}
    option.note_stream()
    option.note_stream()
    assert not option.note_refusal(refusal, asked=False)
    assert put(option, stream_options={"a": 1}) == ({}, False, ("stream_options=dropped",))


def test_a_missing_model_is_no_reason_to_ask_again() -> None:
    assert not UsageOption().note_refusal(ModelNotFound("p", "no stream_options"), asked=True)
