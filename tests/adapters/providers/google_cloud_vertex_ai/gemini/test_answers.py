"""What Gemini's answers and streams become."""

import json
from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelplane.adapters.providers import errors
from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.providers.types import HttpAnswer, Query, Usage
from tests.adapters.providers.conformance import read_choices, reassemble
from tests.adapters.providers.google_cloud_vertex_ai.gemini.queries import (
    MODEL,
    NOTHING,
    PNG,
    WEATHER,
    adapter_of,
    ask,
    candidate,
    event,
    parse,
    stream,
    user,
)
from tests.emulators.google_cloud_vertex_ai.gemini_answers import responses
from tests.emulators.google_cloud_vertex_ai.gemini_schema import check_request

ANSWER = {
    "responseId": "r1",
    "createTime": "2023-11-14T22:13:20.5Z",
    "modelVersion": MODEL,
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"text": "hm", "thought": True},
                    {"text": "a"},
                    {"text": "b", "thoughtSignature": "c2ln"},
                    {"functionCall": {"name": "f", "args": {"x": 1.0}}, "thoughtSignature": "dHM="},
                    {"functionCall": {"name": "f"}},
                    {"functionCall": {"name": "f", "id": "own"}},
                ],
            },
            "finishReason": "STOP",
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 10,
        "cachedContentTokenCount": 4,
        "toolUsePromptTokenCount": 2,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 3,
        "totalTokenCount": 20,
    },
}


def test_an_answer() -> None:
    assert parse(ANSWER) == {
        "id": "r1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "ab",
                    "reasoning_content": "hm",
                    "tool_calls": [
                        {
                            "id": "call_r1_0_0",
                            "type": "function",
                            "function": {"name": "f", "arguments": '{"x":1.0}'},
                            "extra_content": {"google": {"thought_signature": "dHM="}},
                        },
                        {
                            "id": "call_r1_0_1",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        },
                        {
                            "id": "own",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        },
                    ],
                    "extra_content": {"google": {"thought_signature": "c2ln"}},
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 12,
            "completion_tokens": 8,
            "total_tokens": 20,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
    }


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("NEWLY_INVENTED", "stop"),
    ],
)
def test_finish_reasons(reason: str, expected: str) -> None:
    (choice,) = parse(candidate(reason, {"text": "a"}))["choices"]
    assert choice["finish_reason"] == expected
    assert choice.get("provider_finish_reason") == (reason if reason == "NEWLY_INVENTED" else None)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("MALFORMED_FUNCTION_CALL", errors.UnusableAnswer),
        ("UNEXPECTED_TOOL_CALL", errors.UnusableAnswer),
        ("OTHER", errors.UnusableAnswer),
        ("MISSING_THOUGHT_SIGNATURE", errors.RequestRefused),
    ],
)
def test_a_model_that_broke_off_did_not_stop(reason: str, expected: type[Exception]) -> None:
    counted = {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}}
    with pytest.raises(expected) as broken:
        parse(candidate(reason) | counted)
    # It is billed all the same.
    assert isinstance(broken.value, errors.AdapterError)
    assert broken.value.usage == Usage(3, 2)
    with pytest.raises(expected):
        list(stream(event(candidate(reason))))


@pytest.mark.parametrize("said", ["because", None])
def test_a_blocked_prompt_is_filtered_content(said: str | None) -> None:
    feedback = {"blockReason": "SAFETY", "blockReasonMessage": said}
    answer = {"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 3}}
    whole = parse(answer)
    (choice,) = whole["choices"]
    assert choice["finish_reason"] == "content_filter"
    assert choice["message"]["content"] is None
    assert choice["message"]["refusal"] == (said or "The prompt was blocked: SAFETY.")
    assert whole["usage"]["total_tokens"] == 3
    *chunks, last = stream(event(answer))
    assert reassemble(chunks)[0]["finish"] == "content_filter"
    assert last["usage"] == whole["usage"]


def test_usage_that_is_not_reported_is_estimated() -> None:
    answer = parse(candidate("STOP", {"text": "x" * 11}), messages=[user("y" * 7)])
    assert answer["usage"] == {
        "prompt_tokens": 2,
        "completion_tokens": 3,
        "total_tokens": 5,
        "estimated": True,
    }
    assert answer["created"] == 5


def test_images_of_an_answer() -> None:
    blob = {"inlineData": {"mimeType": "image/png", "data": "aW1n"}}
    (choice,) = parse(candidate("STOP", blob))["choices"]
    assert choice["message"]["images"] == [{"type": "image_url", "image_url": {"url": PNG}}]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            {"executableCode": {"language": "PYTHON", "code": "print(1)\n"}},
            "\n\n```python\nprint(1)\n```\n\n",
        ),
        (
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}},
            "\n\n```text\n1\n```\n\n",
        ),
        (
            {"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "no"}},
            "\n\n```text\nOUTCOME_FAILED\nno\n```\n\n",
        ),
        ({"executableCode": {"code": "'```'"}}, "\n\n````\n'```'\n````\n\n"),
        ({"executableCode": None, "codeExecutionResult": 1}, ""),
    ],
)
def test_code_that_was_executed_is_part_of_the_text(part: object, expected: str) -> None:
    answer = candidate("STOP", {"text": "a"}, part, {"text": "b"})
    (choice,) = parse(answer)["choices"]
    assert choice["message"]["content"] == f"a{expected}b"
    thought = candidate("STOP", {**part, "thought": True} if isinstance(part, dict) else part)
    (choice,) = parse(thought)["choices"]
    assert choice["message"].get("reasoning_content", "") == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<html>", errors.MalformedAnswer),
        (b"[]", errors.MalformedAnswer),
        (b"{}", errors.MalformedAnswer),
        (b'{"candidates":["x",1]}', errors.MalformedAnswer),
        (b'{"error":{"code":503}}', errors.ProviderUnavailable),
        (b'[{"error":{"status":"RESOURCE_EXHAUSTED"}}]', errors.RateLimited),
        (b'{"error":{}}', errors.ProviderFailed),
    ],
)
def test_what_is_no_answer(body: bytes, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        adapter_of().parse_answers(Query({}, stream=False), (HttpAnswer(200, {}, body),))
    with pytest.raises((expected, errors.StreamTruncated)):
        list(stream(b"data: " + body + b"\n\n"))


def test_a_stream() -> None:
    first = {"responseId": "r1", "createTime": "2023-11-14T22:13:20Z"}
    usage = {"promptTokenCount": 2, "candidatesTokenCount": 1}
    parts = [
        {"text": "a"},
        {"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "f", "args": {"x": 1}}},
    ]
    said = [{"candidates": [{"content": {"parts": [part]}}], **first} for part in parts]
    last = {**candidate("STOP", {"text": ""}), "usageMetadata": usage}
    shared = {"id": "r1", "object": "chat.completion.chunk", "created": 1_700_000_000}

    def chunk(delta: object, reason: str | None = None) -> dict[str, object]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**shared, "choices": [choice]}

    def called(index: int, **rest: object) -> dict[str, object]:
        function = {"name": "f", "arguments": '{"x":1}'}
        one = {
            "id": f"call_r1_0_{index}",
            "type": "function",
            "function": function,
            "index": index,
        }
        return {"role": "assistant", "tool_calls": [{**one, **rest}]}

    assert list(stream(*map(event, [*said, last]))) == [
        chunk({"role": "assistant", "content": "a"}),
        chunk(called(0, extra_content={"google": {"thought_signature": "c2ln"}})),
        chunk(called(1)),
        chunk({}, "tool_calls"),
        {
            **shared,
            "choices": [],
            "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
        },
    ]


CORPUS: Sequence[dict[str, Any]] = (
    [
        {"messages": [user("naïve € text")], "n": n, "reasoning_effort": effort, "logprobs": n == 2}
        for n, effort in product((1, 2), (None, "low"))
    ]
    + [
        {"messages": [user(text)], "tools": [WEATHER, NOTHING]}
        for text in ("get_weather", "get_weather do_nothing get_weather", "x UNSAFE", "x BLOCKED")
    ]
    + [{"messages": [user("one two three four")], "max_tokens": 3}]
    + [{"messages": [user("RUN it")], "tools": [{"codeExecution": {}}, WEATHER]}]
    + [
        {
            "messages": [user("hi")],
            "tools": [{"function": {"name": "2nd/öne"}}],
            "tool_choice": "required",
        }
    ]
)


def sent(body: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in body.items() if name != "messages"}
    return ask(*body["messages"], **rest)


def events_of(body: dict[str, Any]) -> list[bytes]:
    return [event(one) for one in responses(sent(body), MODEL, stream=True)]


@pytest.mark.parametrize("body", CORPUS)
def test_a_stream_adds_up_to_the_whole_answer(body: dict[str, Any]) -> None:
    (answer,) = responses(sent(body), MODEL, stream=False)
    whole = parse(answer, **body)
    *chunks, last = stream(*events_of(body), **body)
    assert reassemble(chunks) == read_choices(whole)
    assert last["usage"] == whole["usage"]
    assert last["choices"] == []
    usage = whole["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage.get("prompt_tokens_details", {}).get("cached_tokens", 0) <= usage["prompt_tokens"]


@given(body=st.sampled_from(CORPUS), cuts=st.lists(st.integers(0, 5000), max_size=8))
def test_a_stream_split_anywhere_is_the_same(body: dict[str, Any], cuts: list[int]) -> None:
    data = b"".join(events_of(body))
    places = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    parts = [data[start:end] for start, end in pairwise(places)]
    assert list(stream(*parts, **body)) == list(stream(data, **body))


@pytest.mark.parametrize("body", CORPUS)
def test_a_stream_cut_after_any_event_is_truncated(body: dict[str, Any]) -> None:
    events = events_of(body)
    for count in range(len(events)):
        with pytest.raises(errors.StreamTruncated):
            list(stream(*events[:count], **body))


def test_an_error_in_a_stream_follows_the_chunks_before_it() -> None:
    error = event({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}})
    chunks = stream(event(candidate("", {"text": "a"})), error)
    assert next(chunks)["choices"]
    with pytest.raises(errors.RateLimited):
        next(chunks)


def completions(**body: object) -> tuple[Adapter, Query]:
    return adapter_of(task="llm/v1/completions"), Query(body, stream=False)


def test_completions_are_chats_with_one_message_each() -> None:
    adapter, query = completions(prompt=["a b", "c"], max_tokens=9, n=2, logprobs=1)
    plan = adapter.plan(query, {})
    bodies = [json.loads(request.body) for request in plan.requests]
    assert [body["contents"][0]["parts"] for body in bodies] == [[{"text": "a b"}], [{"text": "c"}]]
    answers = []
    for body in bodies:
        check_request(body, MODEL)
        assert body["generationConfig"] == {
            "candidateCount": 2,
            "maxOutputTokens": 9,
            "responseLogprobs": True,
            "logprobs": 1,
        }
        (answer,) = responses(body, MODEL, stream=False)
        answers.append(HttpAnswer(200, {}, json.dumps(answer).encode()))
    whole: dict[str, Any] = adapter.parse_answers(query, answers)
    assert [(one["index"], one["text"]) for one in whole["choices"]] == [
        (0, f"{MODEL} heard: a b"),
        (1, f"{MODEL} heard: a b (1)"),
        (2, f"{MODEL} heard: c"),
        (3, f"{MODEL} heard: c (1)"),
    ]
    assert whole["object"] == "text_completion"
    assert whole["choices"][2]["logprobs"]["text_offset"] == [0, 16, 23]
    assert whole["usage"]["prompt_tokens"] == 3


def test_a_streamed_completion() -> None:
    chunks = list(stream(event(candidate("STOP", {"text": "a"})), task="llm/v1/completions"))
    assert [chunk["choices"] for chunk in chunks] == [
        [{"index": 0, "text": "a", "logprobs": None, "finish_reason": None}],
        [{"index": 0, "finish_reason": "stop", "text": "", "logprobs": None}],
        [],
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": [1, 2]},
        {"prompt": []},
        {"prompt": "x", "echo": True},
        {"prompt": "x", "suffix": "y"},
    ],
)
def test_completions_that_gemini_cannot_take(body: dict[str, Any]) -> None:
    adapter, query = completions(**body)
    with pytest.raises(errors.RequestRefused):
        adapter.plan(query, {})


def test_several_prompts_cannot_be_streamed() -> None:
    adapter, query = completions(prompt=["a", "b"])
    with pytest.raises(errors.RequestRefused):
        adapter.plan(Query(query.body, stream=True), {})
