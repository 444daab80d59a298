"""What is read of Converse's answers, whole and streamed."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelplane.adapters.providers.errors import (
    AdapterError,
    MalformedAnswer,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
    RequestRefused,
    StreamTruncated,
    UnusableAnswer,
)
from modelplane.adapters.providers.types import HttpAnswer, JsonObject, Query
from tests.adapters.providers.amazon_bedrock.chats import (
    CLAUDE,
    CLAUDE_ID,
    CLOCK,
    NOW,
    SCHEMA,
    WEATHER,
    WEATHER_SPEC,
    adapter,
    user,
)
from tests.adapters.providers.conformance import read_choices, reassemble
from tests.emulators.amazon_bedrock import converse, frames
from tests.emulators.amazon_bedrock.schema import check_body


def test_the_answer_in_a_schema_is_text() -> None:
    body: JsonObject = {"messages": [user("x")], "response_format": SCHEMA}
    whole, chunks = answered(body)
    (choice,) = whole["choices"]
    assert json.loads(choice["message"]["content"]) == {"a": "x"}
    assert json.loads(reassemble(chunks)[0]["text"]) == {"a": "x"}
    assert reassemble(chunks)[0]["finish"] == "stop"
    assert choice["finish_reason"] == "stop"
    assert "tool_calls" not in choice["message"]


def answered(body: JsonObject, name: str = CLAUDE) -> tuple[Any, list[JsonObject]]:
    """Return a whole answer and the chunks of the same as a stream."""
    own = adapter(name)
    query = Query(body, stream=False)
    document = json.loads(own.plan(query, {}).requests[0].body)
    check_body("Converse", CLAUDE_ID, document)
    said = json.dumps(converse.answer(CLAUDE_ID, document)).encode()
    headers = {"x-amzn-requestid": "r-1"}
    whole = own.parse_answers(query, [HttpAnswer(200, headers, said)])
    parser = own.stream_parser(query)
    chunks = list(parser.feed(b"".join(converse.events(CLAUDE_ID, document))))
    assert parser.ended
    return whole, [*chunks, *parser.finish()]


def test_a_whole_answer_is_read_exactly_so() -> None:
    whole, _ = answered({"messages": [user("one two")], "max_tokens": 4})
    usage = whole.pop("usage")
    assert whole == {
        "id": "chatcmpl-r-1",
        "object": "chat.completion",
        "created": int(NOW),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": f"{CLAUDE_ID} heard: one two"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
    }
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_stream_is_read_exactly_so() -> None:
    tools = [WEATHER]
    _, chunks = answered({"messages": [user("explain weather")], "tools": tools})
    *parts, last = chunks
    deltas = [part["choices"][0]["delta"] for part in parts]  # type: ignore[index]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert deltas[1] == {"content": "Let"}
    opened = next(delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta)
    assert opened.pop("id").startswith("tooluse_0")
    assert opened == {
        "index": 0,
        "type": "function",
        "function": {"name": "weather", "arguments": ""},
    }
    assert deltas[-1] == {}
    assert parts[-1]["choices"][0]["finish_reason"] == "tool_calls"  # type: ignore[index]
    assert last["choices"] == []
    assert {chunk["created"] for chunk in chunks} == {int(NOW)}
    assert len({chunk["id"] for chunk in chunks}) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [user("hello there")]},
        {"messages": [user("hello there")], "max_tokens": 2},
        {"messages": [user("weather twice")], "tools": [WEATHER]},
        {"messages": [user("explain weather and clock")], "tools": [WEATHER, CLOCK]},
        {"messages": [user("clock")], "tools": [CLOCK], "tool_choice": "required"},
        {"messages": [user("a")], "thinking": {"type": "enabled"}},
        {"messages": [user("redact")], "thinking": {"type": "enabled"}},
        {"messages": [user("guard")]},
        {"messages": [user("guard silently")]},
        {"messages": [user([{"type": "text", "text": "x", "cache_control": {"type": "e"}}])]},
    ],
    ids=lambda body: str(body["messages"][0]["content"])[:20],
)
def test_a_stream_adds_up_to_the_whole_answer(body: JsonObject) -> None:
    whole, chunks = answered(body)
    assert reassemble(chunks) == read_choices(whole)
    assert chunks[-1]["usage"] == whole["usage"]
    whole_message = whole["choices"][0]["message"]
    blocks = [
        {key: value for key, value in block.items() if key != "index"}
        for chunk in chunks
        for choice in chunk["choices"]  # type: ignore[attr-defined]
        for block in choice["delta"].get("thinking_blocks", [])
    ]
    assert blocks == whole_message.get("thinking_blocks", [])


def test_zero_arguments_are_an_empty_object() -> None:
    _, chunks = answered({"messages": [user("clock")], "tools": [CLOCK]})
    assert reassemble(chunks)[0]["calls"] == [["clock", {}]]


def test_a_guardrail_is_a_content_filter() -> None:
    whole, _ = answered({"messages": [user("guard silently")]})
    (choice,) = whole["choices"]
    assert choice["finish_reason"] == "content_filter"
    assert choice["provider_finish_reason"] == "guardrail_intervened"
    assert choice["message"]["content"] == ""


def test_usage_counts_the_cache() -> None:
    usage = {
        "inputTokens": 10,
        "outputTokens": 3,
        "totalTokens": 25,
        "cacheReadInputTokens": 7,
        "cacheWriteInputTokens": 5,
    }
    document = {"stopReason": "end_turn", "usage": usage}
    query = Query({"messages": [user("x")]}, stream=False)
    answer = HttpAnswer(200, {}, json.dumps(document).encode())
    assert adapter().parse_answers(query, [answer])["usage"] == {
        "prompt_tokens": 22,
        "completion_tokens": 3,
        "total_tokens": 25,
        "prompt_tokens_details": {"cached_tokens": 7},
        "cache_creation_input_tokens": 5,
    }


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("content_filtered", "content_filter"),
        ("new_reason", "stop"),
    ],
)
def test_stop_reasons(reason: str, expected: str) -> None:
    query = Query({"messages": [user("x")]}, stream=False)
    answer = HttpAnswer(200, {}, json.dumps({"stopReason": reason}).encode())
    whole: Any = adapter().parse_answers(query, [answer])
    (choice,) = whole["choices"]
    assert choice["finish_reason"] == expected
    plain = reason in ("end_turn", "stop_sequence", "max_tokens")
    assert choice.get("provider_finish_reason") == (None if plain else reason)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b'{"stopReason": "malformed_model_output"}', UnusableAnswer),
        (b'{"Output": {"__type": "UnknownOperationException"}}', MalformedAnswer),
        (b"[]", MalformedAnswer),
        (b"<html>", MalformedAnswer),
    ],
)
def test_what_is_no_answer(said: bytes, expected: type[AdapterError]) -> None:
    query = Query({"messages": [user("x")]}, stream=False)
    with pytest.raises(expected):
        adapter().parse_answers(query, [HttpAnswer(200, {}, said)])


STREAM_BODY: JsonObject = {
    "messages": [{"role": "user", "content": [{"text": "explain weather é"}]}],
    "toolConfig": {"tools": [WEATHER_SPEC]},
}
EVENTS = converse.events(CLAUDE_ID, STREAM_BODY)


def parsed(parts: Iterator[bytes]) -> list[JsonObject]:
    parser = adapter().stream_parser(Query({"messages": []}, stream=True))
    chunks = [chunk for part in parts for chunk in parser.feed(part)]
    chunks += parser.finish()
    return [{name: one for name, one in chunk.items() if name != "id"} for chunk in chunks]


WHOLE = parsed(iter([b"".join(EVENTS)]))


def test_a_stream_may_be_split_anywhere() -> None:
    data = b"".join(EVENTS)
    for at in range(0, len(data), 7):
        assert parsed(iter([data[:at], data[at:]])) == WHOLE


@given(st.lists(st.integers(0, len(b"".join(EVENTS))), max_size=20))
def test_a_stream_may_be_split_in_any_way(places: list[int]) -> None:
    data = b"".join(EVENTS)
    edges = [0, *sorted(places), len(data)]
    assert parsed(data[start:end] for start, end in pairwise(edges)) == WHOLE


def test_a_truncated_stream_is_an_error() -> None:
    for count in range(len(EVENTS)):
        with pytest.raises(StreamTruncated):
            parsed(iter(EVENTS[:count]))


def test_a_damaged_frame_is_an_error() -> None:
    damaged = bytearray(EVENTS[0])
    damaged[-1] ^= 1
    with pytest.raises(MalformedAnswer):
        parsed(iter([bytes(damaged)]))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("throttlingException", RateLimited),
        ("serviceUnavailableException", ProviderUnavailable),
        ("modelTimeoutException", ProviderTimeout),
        ("modelStreamErrorException", UnusableAnswer),
        ("internalServerException", ProviderFailed),
        ("validationException", RequestRefused),
        ("unheardOf", ProviderFailed),
    ],
)
def test_an_exception_inside_a_stream(kind: str, expected: type[AdapterError]) -> None:
    said = frames.exception(kind, {"message": "no"})
    with pytest.raises(expected) as refused:
        parsed(iter([*EVENTS[:2], said]))
    assert type(refused.value) is expected
    assert refused.value.detail == {"message": "no"}


def test_an_error_of_the_front_door_inside_a_stream() -> None:
    with pytest.raises(ProviderFailed) as refused:
        parsed(iter([EVENTS[0], frames.error("InternalFailure", "oops")]))
    assert refused.value.detail == "oops"
