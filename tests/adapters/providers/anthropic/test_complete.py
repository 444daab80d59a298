"""Completions by the legacy API."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from modelplane.adapters.providers import errors
from modelplane.adapters.providers.types import HttpAnswer, JsonObject, Plan, Query
from tests.adapters.providers.anthropic.test_provider import KEY, build
from tests.emulators.anthropic import schema, stream

TASK = "llm/v1/completions"
QUERY = Query({"prompt": "what is databricks"}, stream=True)
ANSWER: JsonObject = {
    "type": "completion",
    "id": "compl_1",
    "completion": " It is é€ a company.",
    "stop_reason": "stop_sequence",
    "model": "claude-2",
    "stop": "\n\nHuman:",
}
USAGE = {"prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 9, "estimated": True}


def plan(body: JsonObject, *, stream: bool = False) -> Plan:
    return build("claude-2", TASK).plan(Query(body, stream), {})


def parse(*parts: bytes) -> Iterator[Any]:
    parser = build("claude-2", TASK).stream_parser(QUERY)
    for part in parts:
        yield from parser.feed(part)
    yield from parser.finish()


def test_the_request() -> None:
    body: JsonObject = {
        "model": "endpoint",
        "prompt": "what is databricks",
        "temperature": 2.0,
        "top_k": 3,
        "max_tokens": 5,
        "stop": ["END", " "],
        "user": "u",
        "n": 1,
        "seed": 7,
        "stream_options": {},
    }
    planned = plan(body, stream=True)
    request = planned.requests[0]
    assert request.url == "https://api.anthropic.com/v1/complete"
    assert request.headers["x-api-key"] == KEY
    wire = json.loads(request.body)
    assert wire == {
        "model": "claude-2",
        "prompt": "\n\nHuman: what is databricks\n\nAssistant:",
        "max_tokens_to_sample": 5,
        "temperature": 1,
        "top_k": 3,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u"},
        "stream": True,
    }
    schema.check_complete_body(wire)
    assert planned.adapted == (
        "temperature=clamped",
        "stop=blank texts dropped",
        "seed=dropped",
    )


def test_a_prompt_that_is_a_conversation_already() -> None:
    prompt = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"
    planned = plan({"prompt": [prompt]})
    wire = json.loads(planned.requests[0].body)
    assert wire["prompt"] == prompt
    assert wire["max_tokens_to_sample"] == 4096
    assert planned.adapted == ("max_tokens=defaulted to 4096",)


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"n": 2}, "'n'"),
        ({"best_of": 2}, "best_of"),
        ({"echo": True}, "echo"),
        ({"suffix": "x"}, "suffix"),
        ({"logprobs": 0}, "logprobs"),
        ({"logit_bias": {"1": 1}}, "logit_bias"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"frequency_penalty": -1}, "frequency_penalty"),
    ],
)
def test_what_cannot_be_put_is_refused_by_name(more: JsonObject, word: str) -> None:
    with pytest.raises(errors.RequestRefused) as refused:
        plan({"prompt": "p", **more})
    assert word in str(refused.value.detail)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop_sequence", {"finish_reason": "stop"}),
        ("max_tokens", {"finish_reason": "length"}),
        ("new", {"finish_reason": "stop", "provider_finish_reason": "new"}),
    ],
)
def test_the_answer(reason: str, finish: JsonObject) -> None:
    body = json.dumps({**ANSWER, "stop_reason": reason}).encode()
    answer = build("claude-2", TASK).parse_answers(QUERY, (HttpAnswer(200, {}, body),))
    assert answer == {
        "id": "compl_1",
        "object": "text_completion",
        "created": 1700000000,
        "choices": [{"index": 0, "text": ANSWER["completion"], "logprobs": None, **finish}],
        "usage": USAGE,
    }
    *_, last, _ = parse(*stream.completion_events({**ANSWER, "stop_reason": reason}))
    assert last["choices"] == [{"index": 0, "text": "", "logprobs": None, **finish}]


@pytest.mark.parametrize("body", [b"{}", b'{"completion": "x"}', b"[]", b"<"])
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(errors.MalformedAnswer):
        build("claude-2", TASK).parse_answers(QUERY, (HttpAnswer(200, {}, body),))


def test_a_stream() -> None:
    events = stream.completion_events(ANSWER)
    *chunks, last = parse(*events)
    texts = [choice["text"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(texts) == ANSWER["completion"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [
        *[None] * (len(chunks) - 1),
        "stop",
    ]
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    assert (last["choices"], last["usage"]) == ([], USAGE)
    raw = b"".join(events)
    for index in range(len(raw) + 1):
        assert list(parse(raw[:index], raw[index:])) == [*chunks, last]
    assert list(parse(raw + b"data: junk\n\n")) == [*chunks, last]


@pytest.mark.parametrize("count", range(len(stream.completion_events(ANSWER))))
def test_a_stream_cut_anywhere_is_truncated(count: int) -> None:
    with pytest.raises(errors.StreamTruncated):
        list(parse(*stream.completion_events(ANSWER)[:count]))


def test_an_error_in_mid_stream() -> None:
    first = stream.completion_events(ANSWER)[0]
    said = {"error": {"type": "overloaded_error", "message": "m"}}
    chunks = parse(first + stream.event(said, "error"))
    assert next(chunks)["choices"][0]["text"] == " It"
    with pytest.raises(errors.ProviderUnavailable):
        next(chunks)
