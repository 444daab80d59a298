"""Answers in another form than was asked for: whole for streams, streams for whole, mislabelled."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelplane.adapters.providers.canonical.forms import (
    WholeAnswerParser,
    add_up,
    choose_parser,
    cut_up,
    parse_answers,
)
from modelplane.adapters.providers.errors import (
    AdapterError,
    MalformedAnswer,
    ProviderFailed,
    RateLimited,
    StreamTruncated,
)
from modelplane.adapters.providers.http.transport import MAX_BODY_BYTES
from modelplane.adapters.providers.registry import build_adapter
from modelplane.adapters.providers.types import HttpAnswer, Query, Task
from tests.adapters.providers.conformance import (
    CASES,
    CapturedReply,
    Gateway,
    ProviderCase,
    open_gateway,
    read_choices,
    reassemble,
)
from tests.adapters.providers.recordings import record
from tests.adapters.providers.upstream import HEAD, Upstream, chunk, document
from tests.effort import times

STREAMS = [case for case in CASES if case.streams and case.task != Task.EMBEDDINGS]
each_stream = pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.name)
# Binary frames cannot be taken for anything else.
EVENTS = [case for case in STREAMS if case.provider != "amazon-bedrock"]
each_event_stream = pytest.mark.parametrize(
    "case",
    [case for case in EVENTS if (case.provider, case.task) != ("cohere", Task.COMPLETIONS)],
    ids=lambda case: case.name,
)


def _stream_of(event: dict[str, Any], count: int) -> bytes:
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    lines = [b"data: %b\n\n" % json.dumps(one).encode() for one in (event, last)]
    return lines[0] * count + lines[1] + b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    "delta", [{"content": "ab"}, {"tool_calls": [{"function": {"arguments": "ab"}}]}, {"x": [1]}]
)
def test_a_long_stream_adds_up_to_all_of_its_pieces(delta: dict[str, Any]) -> None:
    case = next(case for case in CASES if case.name == "openai/chat")
    adapter = build_adapter(case.model("http://127.0.0.1:1"))
    count = 25_000
    event = {"choices": [{"index": 0, "delta": delta, "logprobs": {"content": [{}]}}]}
    answers = (HttpAnswer(200, {}, _stream_of(event, count)),)
    whole: Any = parse_answers(adapter, Query({}, stream=False), answers, "openai")
    (choice,) = whole["choices"]
    assert len(choice["logprobs"]["content"]) == count
    message = choice["message"]
    if "content" in delta:
        assert message["content"] == "ab" * count
    elif "x" in delta:
        assert message["x"] == [1] * count
    else:
        assert len(message["tool_calls"]) == count


def test_a_stream_instead_of_an_answer_has_a_bound() -> None:
    case = next(case for case in CASES if case.name == "openai/chat")
    adapter = build_adapter(case.model("http://127.0.0.1:1"))
    event = {"choices": [{"index": 0, "delta": {"content": "a" * 1000}}]}
    answers = (HttpAnswer(200, {}, _stream_of(event, 4200)),)
    with pytest.raises(MalformedAnswer):
        parse_answers(adapter, Query({}, stream=False), answers, "openai")


@each_stream
def test_chunks_add_up_to_the_whole_answer(case: ProviderCase) -> None:
    streamed, whole = record(case.name, stream=True), record(case.name, stream=False)
    parser = streamed.adapter.stream_parser(streamed.query)
    chunks = [*parser.feed(streamed.stream), *parser.finish()]
    expected = whole.adapter.parse_answers(whole.query, whole.answers)
    found = add_up(case.provider, chunks)
    assert found["object"] == expected["object"]
    assert read_choices(found) == read_choices(expected)
    assert found["usage"] == expected["usage"]
    thoughts = [one.get("message", {}).get("thinking_blocks") for one in _choices(found)]
    assert thoughts == [one.get("message", {}).get("thinking_blocks") for one in _choices(expected)]


def _choices(answer: Any) -> Any:
    return answer["choices"]


@each_event_stream
def test_a_stream_of_events_answers_a_query_for_a_whole_answer(case: ProviderCase) -> None:
    streamed, whole = record(case.name, stream=True), record(case.name, stream=False)
    found = parse_answers(whole.adapter, whole.query, streamed.answers, case.provider)
    expected = whole.adapter.parse_answers(whole.query, whole.answers)
    assert read_choices(found) == read_choices(expected)


@each_event_stream
def test_a_whole_answer_answers_a_query_for_a_stream(case: ProviderCase) -> None:
    whole, streamed = record(case.name, stream=False), record(case.name, stream=True)
    if len(whole.answers) > 1:
        return
    body = whole.answers[0].body
    expected = read_choices(whole.adapter.parse_answers(whole.query, whole.answers))

    @settings(max_examples=times(10, 100))
    @given(place=st.integers(1, len(body)))
    def check(place: int) -> None:
        own = streamed.adapter.stream_parser(streamed.query)
        beginning = body[:1]
        parser = choose_parser(streamed.adapter, streamed.query, own, beginning, case.provider)
        chunks = [*parser.feed(body[:place]), *parser.feed(body[place:])]
        assert not chunks
        assert not parser.ended
        chunks = list(parser.finish())
        assert parser.ended
        assert parser.usage is not None
        assert reassemble(chunks) == expected
        assert chunks[-1]["choices"] == []

    check()


def test_lines_of_json_are_a_stream_where_they_are_meant() -> None:
    case = next(case for case in CASES if case.name == "cohere/completions")
    streamed = record(case.name, stream=True)
    own = streamed.adapter.stream_parser(streamed.query)
    assert choose_parser(streamed.adapter, streamed.query, own, b"{", "cohere") is own


OPENAI = next(case for case in CASES if case.name == "openai/chat")
ADAPTER = build_adapter(OPENAI.model("http://127.0.0.1:1"))
QUERY = Query({"messages": []}, stream=True)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.task == Task.EMBEDDINGS], ids=lambda case: case.name
)
def test_embeddings_are_no_stream(case: ProviderCase) -> None:
    whole = record(case.name, stream=False)
    answers = (HttpAnswer(200, {}, b"data: {}\n\n"),) * len(whole.answers)
    with pytest.raises((MalformedAnswer, StreamTruncated)):
        parse_answers(whole.adapter, whole.query, answers, case.provider)


def test_a_page_is_the_upstreams_failure() -> None:
    with pytest.raises(ProviderFailed):
        parse_answers(ADAPTER, QUERY, (HttpAnswer(200, {}, b"\n<!doctype html>"),), "openai")
    with pytest.raises(ProviderFailed):
        choose_parser(ADAPTER, QUERY, ADAPTER.stream_parser(QUERY), b"<", "openai")


def test_a_whole_answer_for_a_stream_is_bounded() -> None:
    parser = WholeAnswerParser(ADAPTER, QUERY, "openai")
    assert not list(parser.feed(b"{" * MAX_BODY_BYTES))
    with pytest.raises(MalformedAnswer):
        list(parser.feed(b"{"))


def test_an_error_for_a_stream_is_one() -> None:
    parser = WholeAnswerParser(ADAPTER, QUERY, "openai")
    list(parser.feed(b'{"error": {"message": "slow down", "code": 429}}'))
    with pytest.raises(RateLimited):
        list(parser.finish())


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [{"choices": []}],
        [{"choices": [None]}],
    ],
)
def test_chunks_without_a_choice_are_no_answer(chunks: list[Any]) -> None:
    with pytest.raises(MalformedAnswer):
        add_up("p", chunks)


@pytest.mark.parametrize(
    "part",
    [
        {"index": "x", "delta": {"tool_calls": [{"function": None}, {"index": 7}]}},
        {"index": 0, "delta": {"tool_calls": 3, "content": ["a"], "extra_content": {"a": 1}}},
        {"index": 0, "delta": 3, "logprobs": 3, "text": None},
        {"message": {"tool_calls": [3], "thinking_blocks": [{}]}},
    ],
)
def test_odd_parts_are_added_up_all_the_same(part: dict[str, Any]) -> None:
    assert len(_choices(add_up("p", [{"choices": [part]}, {"choices": [part]}]))) == 1
    assert list(cut_up({"choices": [part]}))


WHOLE = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
PARTS = (
    {"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "h"}}]},
    {"id": "c", "choices": [{"index": 0, "delta": {"content": "i"}, "finish_reason": "stop"}]},
    {"id": "c", "choices": [], "usage": WHOLE["usage"]},
)
EVENT_BYTES = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in PARTS)
DONE = b"data: [DONE]\n\n"
JSON_HEAD = HEAD % b"application/json"
TEXT_HEAD = HEAD % b"text/plain"
SSE_HEAD = HEAD % b"text/event-stream"
END = b"0\r\n\r\n"


@pytest.fixture
async def server() -> AsyncIterator[Upstream]:
    async with Upstream() as upstream:
        yield upstream


async def ask(upstream: Upstream, *, stream: bool) -> CapturedReply:
    """Return the data plane's answer to a chat, with a raw server in the emulator's place."""
    origins = {"https://own.test": upstream.url}
    case = ProviderCase(
        OPENAI.provider,
        OPENAI.task,
        OPENAI.streams,
        lambda _: OPENAI.model("https://own.test"),
        OPENAI.emulator,
        OPENAI.body,
        origins=lambda _: origins,
    )
    gateway: Gateway
    async with open_gateway(case) as gateway:
        return await gateway.ask(stream=stream)


@pytest.mark.parametrize("head", [JSON_HEAD, TEXT_HEAD, SSE_HEAD])
@pytest.mark.parametrize(
    "body", [EVENT_BYTES + DONE, b"\n\n" + EVENT_BYTES, b": hello\n\n" + EVENT_BYTES]
)
@pytest.mark.parametrize("stream", [False, True])
async def test_events_are_read_under_any_media_type(
    server: Upstream, head: bytes, body: bytes, *, stream: bool
) -> None:
    server.say(head, *(chunk(body[at : at + 40]) for at in range(0, len(body), 40)), END)
    answer = await ask(server, stream=stream)
    found = reassemble(answer.chunks) if stream else read_choices(answer.document)
    assert found[0]["text"] == "hi"
    assert answer.done is stream
    assert len(server.requests) == 1


@pytest.mark.parametrize("head", [JSON_HEAD, TEXT_HEAD, SSE_HEAD])
async def test_a_whole_answer_is_streamed(server: Upstream, head: bytes) -> None:
    server.say(head, chunk(b"  " + json.dumps(WHOLE).encode()), END)
    answer = await ask(server, stream=True)
    assert answer.done
    first, usage = answer.chunks
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "hi"}
    assert first["object"] == "chat.completion.chunk"
    assert usage["usage"] == WHOLE["usage"]
    assert len(server.requests) == 1


async def test_a_page_for_a_stream_is_a_failure(server: Upstream) -> None:
    server.say(document(b"<html>sorry</html>", headers="content-type: text/html\r\n"))
    with pytest.raises(AdapterError) as failed:
        await ask(server, stream=True)
    assert type(failed.value) is ProviderFailed
