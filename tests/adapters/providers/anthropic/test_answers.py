"""Streamed chats: golden chunks, and what holds for every stream, however it is cut."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelplane.adapters.providers import errors
from modelplane.adapters.providers.anthropic.answers import MessagesStreamParser, parse_message
from modelplane.adapters.providers.anthropic.messages import tool_names
from modelplane.adapters.providers.types import JsonObject, Query
from tests.adapters.providers.anthropic.test_provider import build
from tests.emulators.anthropic import stream

DOTTED: JsonObject = {"tools": [{"type": "function", "function": {"name": "the.clock"}}]}
QUERY = Query(DOTTED, stream=True)
NAMES = tool_names(QUERY)
THINKING = {"type": "thinking", "thinking": "a b", "signature": "s"}


def sse(*events: JsonObject) -> bytes:
    return b"".join(stream.event(event) for event in events)


def parse(*parts: bytes) -> Iterator[Any]:
    parser = build().stream_parser(QUERY)
    for part in parts:
        yield from parser.feed(part)
    yield from parser.finish()
    assert parser.ended


def message(*content: Any, reason: str = "end_turn", **usage: Any) -> JsonObject:
    counts = {"input_tokens": 10, "output_tokens": 6, "cache_read_input_tokens": 2, **usage}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": list(content),
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {**counts, "output_tokens_details": {"thinking_tokens": 1}},
    }


def text(value: str) -> JsonObject:
    return {"type": "text", "text": value}


def use(call_id: str, name: str, **arguments: object) -> JsonObject:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


RICH = message(
    THINKING,
    {"type": "redacted_thinking", "data": "d"},
    text("Let é€ me"),
    use("t1", NAMES.encode("the.clock")),
    use("t2", "weather", city="Köln", n=[1, {"a": None}]),
    use("t3", "weather", city="Köln", n=[1, {"a": None}]),
    reason="tool_use",
)
STREAM = b"".join(stream.message_events(RICH))


def test_the_chunks() -> None:
    shared = {"id": "msg_1", "object": "chat.completion.chunk", "created": 1700000000}

    def delta(finish: str | None = None, **fields: object) -> JsonObject:
        choice = {"index": 0, "delta": fields, "logprobs": None, "finish_reason": finish}
        return {**shared, "choices": [choice]}

    def fragment(index: int, arguments: str) -> JsonObject:
        function = {"arguments": arguments}
        return delta(tool_calls=[{"index": index, "function": function}])

    def opened(index: int, call_id: str, name: str) -> JsonObject:
        function = {"name": name, "arguments": ""}
        call = {"index": index, "id": call_id, "type": "function", "function": function}
        return delta(tool_calls=[call])

    answer = message(
        THINKING,
        text("Let me"),
        use("t1", NAMES.encode("the.clock")),
        use("t2", "f", a=1),
        reason="tool_use",
    )
    assert list(parse(*stream.message_events(answer))) == [
        delta(role="assistant", content=""),
        delta(reasoning_content="a"),
        delta(reasoning_content=" b"),
        delta(thinking_blocks=[{"index": 0, **THINKING}]),
        delta(content="Let"),
        delta(content=" me"),
        opened(0, "t1", "the.clock"),
        fragment(0, "{}"),
        opened(1, "t2", "f"),
        fragment(1, '{"a":1}'),
        delta("tool_calls"),
        {
            **shared,
            "choices": [],
            "usage": {
                "prompt_tokens": 12,
                "completion_tokens": 6,
                "total_tokens": 18,
                "prompt_tokens_details": {"cached_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
        },
    ]


def joined(chunks: list[Any]) -> Any:
    """Return the whole answer that a stream's chunks add up to."""
    whole: dict[str, Any] = {"content": "", "reasoning_content": ""}
    calls: list[Any] = []
    blocks = []
    finish = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    for delta in (choice["delta"] for chunk in chunks for choice in chunk["choices"]):
        for name in ("content", "reasoning_content"):
            whole[name] += delta.get(name) or ""
        blocks += delta.get("thinking_blocks", [])
        for call in delta.get("tool_calls", []):
            if "id" in call:
                assert call["index"] == len(calls)
                calls.append({"id": call["id"], **call["function"]})
            else:
                calls[call["index"]]["arguments"] += call["function"]["arguments"]
    return {
        **whole,
        "calls": calls,
        "blocks": [{name: item for name, item in one.items() if name != "index"} for one in blocks],
        "finish": [reason for reason in finish if reason],
        "usage": chunks[-1]["usage"],
    }


def flattened(answer: Any) -> Any:
    """Return a whole answer in the form of `joined`."""
    said = answer["choices"][0]["message"]
    return {
        "content": said["content"] or "",
        "reasoning_content": said.get("reasoning_content", ""),
        "calls": [{"id": call["id"], **call["function"]} for call in said.get("tool_calls", [])],
        "blocks": said.get("thinking_blocks", []),
        "finish": [answer["choices"][0]["finish_reason"]],
        "usage": answer["usage"],
    }


def test_a_stream_split_anywhere_gives_the_same_chunks() -> None:
    expected = list(parse(STREAM))
    for index in range(len(STREAM) + 1):
        assert list(parse(STREAM[:index], STREAM[index:])) == expected


def test_a_stream_byte_by_byte_with_other_line_ends() -> None:
    other = STREAM.replace(b"\n", b"\r\n")
    assert list(parse(*(bytes([byte]) for byte in other))) == list(parse(STREAM))


words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(str.strip)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
blocks = st.one_of(
    st.builds(text, words),
    st.builds(
        lambda call_id, name, arguments: {
            "type": "tool_use",
            "id": call_id,
            "name": NAMES.encode(name),
            "input": arguments,
        },
        words,
        st.sampled_from(["the.clock", "weather"]),
        st.dictionaries(words, values, max_size=3),
    ),
    st.builds(lambda thought: {**THINKING, "thinking": thought}, words),
    st.just({"type": "redacted_thinking", "data": "d"}),
)
messages = st.builds(
    lambda content, reason, counts: message(*content, reason=reason, **counts),
    st.lists(blocks, max_size=5),
    st.sampled_from(["end_turn", "max_tokens", "tool_use", "refusal"]),
    st.fixed_dictionaries(
        {
            "input_tokens": st.integers(0, 9999),
            "output_tokens": st.integers(0, 9999),
            "cache_read_input_tokens": st.none() | st.integers(0, 99),
            "cache_creation_input_tokens": st.none() | st.integers(0, 99),
        }
    ),
)


@given(messages, st.data())
def test_a_stream_adds_up_to_the_whole_answer(answer: JsonObject, data: st.DataObject) -> None:
    raw = b"".join(stream.message_events(answer))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    bounds = [0, *cuts, len(raw)]
    parts = [raw[start:end] for start, end in pairwise(bounds)]
    got = joined(list(parse(*parts)))
    whole = flattened(parse_message("anthropic", answer, NAMES, 0))
    for one in (got, whole):
        for call in one["calls"]:
            # Numbers may be written in several ways; what they mean is the same.
            call["arguments"] = json.loads(call["arguments"])
    assert got == whole
    usage = got["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    cached = usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
    assert usage["prompt_tokens"] >= cached


@pytest.mark.parametrize("count", range(len(stream.message_events(RICH))))
def test_a_stream_cut_anywhere_is_truncated(count: int) -> None:
    with pytest.raises(errors.StreamTruncated):
        list(parse(*stream.message_events(RICH)[:count]))


def test_the_end_without_a_stop_reason_is_truncated() -> None:
    events = stream.message_events(RICH)
    with pytest.raises(errors.StreamTruncated):
        list(parse(*events[:-2], events[-1]))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"type": "overloaded_error"}, errors.ProviderUnavailable),
        ({"type": "rate_limit_error"}, errors.RateLimited),
        ({"type": "api_error"}, errors.ProviderFailed),
        ({"type": "invalid_request_error"}, errors.RequestRefused),
        ("text", errors.ProviderFailed),
    ],
)
@pytest.mark.parametrize("count", [0, 1, 5])
def test_an_error_in_mid_stream(event: object, expected: type[Exception], count: int) -> None:
    said = stream.event({"type": "error", "error": event})
    parser = build().stream_parser(QUERY)
    before = b"".join(stream.message_events(RICH)[:count])
    with pytest.raises(expected):
        list(parser.feed(before + said))


def test_what_is_not_known_is_ignored() -> None:
    odd = sse(
        {"type": "ping"},
        {"type": "something_new", "x": 1},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta"}},
    )
    events = stream.message_events(message(text("a")))
    expected = list(parse(*events))
    assert list(parse(sse({"type": "ping"}), events[0], odd, *events[1:])) == expected
    assert list(parse(b"".join(events) + odd + b"data: junk\n\n")) == expected


def test_a_server_tool_is_no_call() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    events = [
        {"type": "content_block_start", "index": 0, "content_block": search},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": '{"q"'},
        },
        {"type": "content_block_stop", "index": 0},
    ]
    whole = stream.message_events(message(text("a")))
    assert list(parse(*whole[:2], sse(*events), *whole[2:])) == list(parse(*whole))


def test_arguments_that_come_at_once() -> None:
    events = stream.message_data(message(use("t", "f", a=1), reason="tool_use"))
    events[2]["content_block"]["input"] = {"a": 1}
    kept = [event for event in events if event["type"] != "content_block_delta"]
    calls = joined(list(parse(sse(*kept))))["calls"]
    assert calls == [{"id": "t", "name": "f", "arguments": '{"a":1}'}]


def test_events_that_are_framed_already() -> None:
    parser = MessagesStreamParser("p", NAMES, 1700000000, lambda _: errors.ProviderFailed("p", ""))
    chunks = [chunk for event in stream.message_data(RICH) for chunk in parser.take(event)]
    assert chunks == list(parse(STREAM))
    assert parser.ended
    assert not list(parser.finish())


@pytest.mark.parametrize(
    "data", [b"data: {\n\n", b"data: []\n\n", b'data: {"type":"message_stop"}\n\n']
)
def test_what_is_no_stream(data: bytes) -> None:
    with pytest.raises(errors.MalformedAnswer):
        list(parse(data))


def test_an_unknown_stop_reason_is_shown() -> None:
    *_, last, usage = parse(*stream.message_events(message(reason="pause_turn")))
    assert last["choices"][0]["finish_reason"] == "length"
    assert last["choices"][0]["provider_finish_reason"] == "pause_turn"
    assert usage["choices"] == []
