"""Cohere's chat: requests, answers and streams, against its SDK's types and its emulator's rules.

Completions and embeddings are in `test_texts.py`.
"""

import json
from typing import Any, get_type_hints

import pytest
from cohere.v2.client import AsyncV2Client
from hypothesis import given
from hypothesis import strategies as st
from modelserving.v1.external_model_pb2 import CohereConfig, ExternalModel
from pydantic import TypeAdapter

from modelplane.adapters.providers import errors
from modelplane.adapters.providers.cohere.provider import CohereAdapter, build_cohere_adapter
from modelplane.adapters.providers.types import HttpAnswer, JsonObject, Query
from tests.adapters.providers.reassembly import Chunks, every_split, parse_stream, reassemble
from tests.emulators.cohere import answers, schema

KEY = "co-very-secret"
USER: JsonObject = {"role": "user", "content": "call get_weather"}
CALL = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
WEATHER: JsonObject = {"type": "function", "function": {"name": "get_weather"}}
CLOCK: JsonObject = {
    "type": "function",
    "function": {
        "name": "clock",
        "description": "Tells the time.",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}},
    },
}
NO_PARAMETERS = {"type": "object", "properties": {}}


def build(task: str = "llm/v1/chat", name: str = "command-r", **config: str) -> CohereAdapter:
    fields = {"cohere_api_key_plaintext": KEY, **config}
    model = ExternalModel(
        name=name, provider="cohere", task=task, cohere_config=CohereConfig(**fields)
    )
    return build_cohere_adapter(model, clock=lambda: 1_700_000_000.9)


def plan(body: JsonObject, name: str = "command-r", *, stream: bool = False) -> tuple[Any, Any]:
    planned = build(name=name).plan(Query(body, stream=stream), {})
    return json.loads(planned.requests[0].body), planned.adapted


def parse(answer: object, body: JsonObject | None = None) -> dict[str, Any]:
    raw = HttpAnswer(200, {}, json.dumps(answer).encode())
    parsed = build().parse_answers(Query(body or {"messages": [USER]}, stream=False), (raw,))
    return json.loads(json.dumps(parsed))  # type: ignore[no-any-return]


def stream_chunks(*parts: bytes, body: JsonObject | None = None) -> Chunks:
    query = Query(body or {"messages": [USER]}, stream=True)
    return parse_stream(build().stream_parser(query), parts)


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("", "https://api.cohere.com/v2/chat"),
        ("https://api.cohere.ai/v1", "https://api.cohere.ai/v2/chat"),
        ("https://host/v2/", "https://host/v2/chat"),
        (" http://host:80/cohere ", "http://host:80/cohere/v2/chat"),
        ("https://host/cohere/v1?a=b", "https://host/cohere/v2/chat?a=b"),
    ],
)
def test_the_base_url_with_or_without_a_version(base: str, expected: str) -> None:
    adapter = build(cohere_api_base=base)
    request = adapter.plan(Query({"messages": [USER]}, stream=False), {}).requests[0]
    assert request.url == expected
    assert request.headers == {
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
    }


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"cohere_api_key_plaintext": ""}, "cohere_api_key"),
        ({"cohere_api_key_plaintext": "a\nb"}, "cohere_api_key"),
        ({"cohere_api_base": "ftp://host"}, "cohere_api_base"),
        ({"cohere_api_base": "http://[::1"}, "cohere_api_base"),
        ({"task": "llm/v1/paint"}, "llm/v1/paint"),
    ],
)
def test_what_cannot_work_is_refused(config: dict[str, str], words: str) -> None:
    with pytest.raises(errors.ConfigRefused, match=words):
        build(**config)


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def test_a_chat_with_every_parameter() -> None:
    body: JsonObject = {
        "model": "endpoint",
        "messages": [USER],
        "temperature": 0,
        "top_p": 1,
        "top_k": 3,
        "max_completion_tokens": 5,
        "stop": "end",
        "n": 1,
        "seed": 7,
        "frequency_penalty": 0.5,
        "presence_penalty": None,
        "logprobs": True,
        "top_logprobs": 0,
        "reasoning_effort": "none",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "strict": True, "schema": SCHEMA},
        },
        "stream_options": {"include_usage": True},
        "user": "me",
        "safety_mode": "STRICT",
    }
    assert plan(body, stream=True) == (
        {
            "model": "command-r",
            "messages": [USER],
            "stream": True,
            "temperature": 0,
            "p": 0.99,
            "k": 3,
            "max_tokens": 5,
            "stop_sequences": ["end"],
            "seed": 7,
            "frequency_penalty": 0.5,
            "logprobs": True,
            "thinking": {"type": "disabled"},
            "response_format": {"type": "json_object", "json_schema": SCHEMA},
            "safety_mode": "STRICT",
        },
        ("top_p=clamped", "reasoning_effort=thinking disabled", "user=dropped"),
    )


def test_a_long_conversation_keeps_ids_texts_and_reasoning() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://host/a.png", "detail": "low"}}
    data = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    second = CALL | {"id": "c2"}
    body: JsonObject = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "look"}, image, data]},
            {"role": "developer", "content": [{"type": "text", "text": "be brief"}]},
            {"role": "assistant", "content": "both", "tool_calls": [CALL, second]}
            | {"reasoning_content": "I will look."},
            {"role": "tool", "tool_call_id": "c2", "content": "not json"},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "{}"}]},
            {"role": "assistant", "content": "done", "reasoning_content": "hm"},
            {"role": "assistant", "content": None, "reasoning_content": "only this"},
            {"role": "system", "content": None},
            {"role": "user", "content": "thanks", "name": "me"},
        ],
        "tools": [WEATHER, CLOCK],
    }
    sent, adapted = plan(body, "command-a-vision-07-2025")
    call = CALL | {"function": {"name": "get_weather", "arguments": "{}"}}
    assert sent["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "look"}, image, data]},
        {"role": "system", "content": [{"type": "text", "text": "be brief"}]},
        {
            "role": "assistant",
            "content": "both",
            "tool_calls": [call, call | {"id": "c2"}],
            "tool_plan": "I will look.",
        },
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "{}"}]},
        {"role": "tool", "tool_call_id": "c2", "content": "not json"},
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "done"}],
        },
        {"role": "user", "content": "thanks"},
    ]
    assert sent["tools"] == [
        {"type": "function", "function": {"name": "get_weather", "parameters": NO_PARAMETERS}},
        CLOCK,
    ]
    left_out = "messages=blank turn of the assistant left out"
    assert adapted == ("messages.name=dropped", left_out)
    schema.check_chat(sent)
    check_against_the_sdk(sent)


def check_against_the_sdk(sent: JsonObject) -> None:
    """Validate a body against the types of the SDK's own method."""
    hints = get_type_hints(AsyncV2Client.chat, include_extras=True)
    for name, value in sent.items():
        if name != "stream":
            TypeAdapter(hints[name]).validate_python(value)


@pytest.mark.parametrize("parallel", [True, False, None])
@pytest.mark.parametrize(
    ("choice", "sent_choice", "names", "adapted"),
    [
        (None, None, ["get_weather", "clock"], []),
        ("auto", None, ["get_weather", "clock"], []),
        ("none", "NONE", ["get_weather", "clock"], []),
        ("required", "REQUIRED", ["get_weather", "clock"], []),
        (
            {"type": "function", "function": {"name": "clock"}},
            "REQUIRED",
            ["clock"],
            ["tool_choice=only that tool sent"],
        ),
    ],
)
def test_tool_choice(
    choice: object,
    sent_choice: str | None,
    names: list[str],
    adapted: list[str],
    *,
    parallel: bool | None,
) -> None:
    body: JsonObject = {"messages": [USER], "tools": [WEATHER, CLOCK], "tool_choice": choice}
    sent, reported = plan(body | {"parallel_tool_calls": parallel})
    assert sent.get("tool_choice") == sent_choice
    assert [tool["function"]["name"] for tool in sent["tools"]] == names
    dropped = ["parallel_tool_calls=dropped"] if parallel is False else []
    assert list(reported) == adapted + dropped
    schema.check_chat(sent)
    check_against_the_sdk(sent)


def test_choices_without_tools_are_left_out() -> None:
    sent, adapted = plan(
        {"messages": [USER], "tools": [], "tool_choice": "none", "parallel_tool_calls": False}
    )
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(sent)
    assert adapted == ()


def test_strict_functions_are_strict_tools() -> None:
    strict: JsonObject = {"type": "function", "function": {"name": "f", "strict": True}}
    sent, adapted = plan({"messages": [USER], "tools": [strict]})
    assert sent["strict_tools"] is True
    assert adapted == ("tools.strict=for all tools",)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"n": 2}, "'n'"),
        ({"top_logprobs": 2}, "'top_logprobs'"),
        ({"functions": [{}]}, "'functions'"),
        ({"audio": {}}, "'audio'"),
        ({"stop": 3}, "'stop'"),
        ({"tools": [WEATHER], "tool_choice": {"function": {"name": "x"}}}, "'tool_choice'"),
        ({"tool_choice": "required"}, "'tool_choice'"),
        ({"tools": [{"type": "web_search"}]}, "'tools'"),
        ({"tools": "x"}, "'tools'"),
        ({"tools": ["x"]}, "'tools'"),
        ({"response_format": {"type": "json_schema"}}, "schema"),
        ({"messages": [{"role": "function", "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": [{"type": "file"}]}]}, "'file'"),
        (
            {
                "messages": [
                    {"role": "system", "content": [{"type": "image_url", "image_url": "x"}]}
                ]
            },
            "image_url",
        ),
        ({"messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]}, "tool_call_id"),
        ({"messages": [{"role": "assistant", "function_call": {"name": "f"}}]}, "function_call"),
        ({"messages": [{"role": "user", "content": 3}]}, "content"),
    ],
)
def test_what_cohere_cannot_take_is_refused_by_name(extra: JsonObject, words: str) -> None:
    with pytest.raises(errors.RequestRefused) as caught:
        plan({"messages": [USER], **extra})
    assert words in str(caught.value.detail)


def test_unknown_parameters_pass() -> None:
    sent, _ = plan({"messages": [USER], "logit_bias": {"1": 2}, "documents": ["a"]})
    assert sent["logit_bias"] == {"1": 2}
    assert sent["documents"] == ["a"]


ANSWER: JsonObject = {
    "id": "r1",
    "finish_reason": "TOOL_CALL",
    "message": {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "é"}],
        "tool_plan": "I will.",
        "tool_calls": [CALL],
        "citations": [{"start": 0}],
    },
    "logprobs": [{"text": "é", "token_ids": [1, 2], "logprobs": [-0.5, -0.25]}],
    "usage": {
        "billed_units": {"input_tokens": 2, "output_tokens": 3},
        "tokens": {"input_tokens": 62.0, "output_tokens": 4},
        "cached_tokens": 16,
    },
}


def test_a_whole_answer() -> None:
    assert parse(ANSWER) == {
        "id": "r1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "é",
                    "reasoning_content": "hm\n\nI will.",
                    "tool_calls": [CALL | {"function": {"name": "get_weather", "arguments": "{}"}}],
                    "citations": [{"start": 0}],
                },
                "logprobs": {
                    "content": [
                        {"token": "é", "logprob": -0.75, "bytes": [195, 169], "top_logprobs": []}
                    ],
                    "refusal": None,
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 62,
            "completion_tokens": 4,
            "total_tokens": 66,
            "prompt_tokens_details": {"cached_tokens": 16},
        },
    }


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"billed_units": {"input_tokens": 2, "output_tokens": 3}}, (2, 3, False)),
        ({}, (4, 1, True)),
        (None, (4, 1, True)),
        ({"tokens": {"input_tokens": -1, "output_tokens": "x"}}, (4, 1, True)),
    ],
)
def test_usage_falls_back(usage: object, expected: tuple[int, int, bool]) -> None:
    answer = {"message": {"content": [{"type": "text", "text": "four"}]}, "usage": usage}
    found = parse(answer)["usage"]
    counts = (found["prompt_tokens"], found["completion_tokens"], found.get("estimated", False))
    assert counts == expected
    assert found["total_tokens"] == found["prompt_tokens"] + found["completion_tokens"]


FINISH_REASONS: list[tuple[object, JsonObject]] = [
    ("COMPLETE", {"finish_reason": "stop"}),
    ("STOP_SEQUENCE", {"finish_reason": "stop"}),
    ("MAX_TOKENS", {"finish_reason": "length"}),
    ("TOOL_CALL", {"finish_reason": "tool_calls"}),
    ("ERROR_TOXIC", {"finish_reason": "content_filter"}),
    ("NEW", {"finish_reason": "stop", "provider_finish_reason": "NEW"}),
    (None, {"finish_reason": "stop"}),
]
FAILURES: list[tuple[str, type[Exception]]] = [
    ("ERROR", errors.ProviderFailed),
    ("ERROR_LIMIT", errors.RequestRefused),
    ("TIMEOUT", errors.ProviderTimeout),
    ("USER_CANCEL", errors.UnusableAnswer),
]


def end_event(reason: object, **fields: object) -> bytes:
    event = {"type": "message-end", "delta": {"finish_reason": reason, **fields}}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


@pytest.mark.parametrize(("reason", "expected"), FINISH_REASONS)
def test_finish_reasons(reason: object, expected: JsonObject) -> None:
    choice = parse({"message": {}, "finish_reason": reason})["choices"][0]
    assert expected.items() <= choice.items()
    chunks = stream_chunks(end_event(reason))
    assert expected.items() <= chunks[0]["choices"][0].items()


@pytest.mark.parametrize(("reason", "expected"), FAILURES)
def test_a_failed_generation_is_no_clean_stop(reason: str, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        parse({"message": {}, "finish_reason": reason})
    with pytest.raises(expected) as caught:
        stream_chunks(end_event(reason, error="broke at it"))
    assert isinstance(caught.value, errors.AdapterError)
    assert "broke at it" in str(caught.value.detail)


def test_an_error_beside_a_good_reason_is_an_error() -> None:
    with pytest.raises(errors.ProviderFailed):
        stream_chunks(end_event("COMPLETE", error="broke"))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"message":"x"}', b"<html>"])
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(errors.MalformedAnswer):
        build().parse_answers(Query({}, stream=False), (HttpAnswer(200, {}, body),))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, errors.RequestRefused),
        (401, errors.CredentialRefused),
        (402, errors.QuotaExhausted),
        (403, errors.CredentialRefused),
        (404, errors.ModelNotFound),
        (422, errors.RequestRefused),
        (429, errors.RateLimited),
        (498, errors.RequestRefused),
        (499, errors.ProviderUnavailable),
        (500, errors.ProviderFailed),
        (501, errors.RequestRefused),
        (503, errors.ProviderUnavailable),
        (504, errors.ProviderTimeout),
    ],
)
def test_statuses(status: int, expected: type[Exception]) -> None:
    body = json.dumps({"message": "no", "id": "1"}).encode()
    error = build().parse_error(HttpAnswer(status, {"retry-after": "7"}, body))
    assert type(error) is expected
    assert error.detail == {"message": "no", "id": "1"}
    assert error.retry_after == 7


STREAM_BODY: JsonObject = {
    "messages": [{"role": "user", "content": "get_weather clock get_weather é€"}],
    "tools": [WEATHER, CLOCK],
    "thinking": {"type": "enabled"},
}
REASONING_MODEL = "command-a-reasoning-08-2025"


def emulated(body: JsonObject, name: str = REASONING_MODEL) -> tuple[list[bytes], dict[str, Any]]:
    """Return the emulator's stream and whole answer to a query."""
    sent, _ = plan(body, name, stream=True)
    schema.check_chat(sent)
    check_against_the_sdk(sent)
    return answers.chat_events(sent), answers.chat_answer(sent)


def test_the_chunks_of_a_stream() -> None:
    events, _ = emulated({"messages": [USER], "tools": [WEATHER]}, "command-r")
    chunks = stream_chunks(*events)
    assert [chunk["choices"][0]["delta"] for chunk in chunks[:-1]] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "I"},
        {"reasoning_content": " will"},
        {"reasoning_content": " call"},
        {"reasoning_content": " get_weather."},
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": f"get_weather_0{chunks[0]['id'][:8]}",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": ""},
                }
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
        {},
    ]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk["created"] for chunk in chunks} == {1_700_000_000}


def test_a_stream_split_anywhere_gives_the_same_chunks() -> None:
    events, _ = emulated(STREAM_BODY)
    query = Query(STREAM_BODY, stream=True)
    expected = stream_chunks(*events)
    splits = every_split(lambda: build().stream_parser(query), b"".join(events), step=3)
    assert all(chunks == expected for chunks in splits)


def test_a_stream_cut_after_any_event_is_truncated() -> None:
    events, _ = emulated(STREAM_BODY)
    for count in range(len(events) - 1):
        with pytest.raises(errors.StreamTruncated):
            stream_chunks(*events[:count])


def test_events_that_say_nothing_to_us_are_skipped() -> None:
    odd = b'data: {"type":"citation-end"}\n\ndata: {"type":"new"}\n\n: hello\n\n'
    after = b"data: junk\n\n"
    assert stream_chunks(odd, end_event("COMPLETE"), after) == stream_chunks(end_event("COMPLETE"))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b'{"message":"internal"}', errors.ProviderFailed),
        (b"{", errors.MalformedAnswer),
        (b"[]", errors.MalformedAnswer),
    ],
)
def test_an_error_in_a_stream(event: bytes, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        stream_chunks(b"data: " + event + b"\n\n")


@given(
    text=st.text(max_size=30),
    tools=st.lists(st.sampled_from([WEATHER, CLOCK]), max_size=2),
    choice=st.sampled_from(["auto", "none", "required"]),
    thinks=st.booleans(),
    logprobs=st.booleans(),
    limit=st.integers(1, 12),
)
def test_a_stream_adds_up_to_the_whole_answer(
    text: str,
    tools: list[JsonObject],
    choice: str,
    limit: int,
    *,
    thinks: bool,
    logprobs: bool,
) -> None:
    body: JsonObject = {
        "messages": [{"role": "user", "content": f"clock get_weather clock {text}"}],
        "logprobs": logprobs,
        "max_tokens": limit,
    }
    if thinks:
        body["thinking"] = {"type": "enabled"}
    if tools:
        body |= {"tools": tools, "tool_choice": choice}
    events, whole = emulated(body)
    expected = parse(whole, body)
    found = reassemble(stream_chunks(*events, body=body))
    message = expected["choices"][0]["message"]
    if message["content"] is None:
        # A stream cannot take back the empty content of its first delta.
        message["content"] = ""
    assert found == {name: value for name, value in expected.items() if name != "object"}


def test_nothing_shows_the_key() -> None:
    adapter = build()
    query = Query({"messages": [USER]}, stream=True)
    request = adapter.plan(query, {}).requests[0]
    assert KEY not in repr(adapter) + repr(request) + repr(adapter.stream_parser(query))
