"""What Gemini is asked, and what its answers become."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.providers import errors
from adapters.providers.base import Adapter
from adapters.providers.google_cloud_vertex_ai.provider import build_vertex_adapter
from adapters.providers.types import HttpAnswer, Image, Query
from tests.adapters.providers.conformance import read_choices, reassemble
from tests.emulators.google_cloud_vertex_ai.external_models import external_model
from tests.emulators.google_cloud_vertex_ai.gemini_answers import responses
from tests.emulators.google_cloud_vertex_ai.gemini_schema import check_request

MODEL = "gemini-2.5-flash"
PNG = "data:image/png;base64,aW1n"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Looks",
        "strict": True,
        "parameters": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
NOTHING = {"type": "function", "function": {"name": "do_nothing"}}


def adapter_of(model: str = MODEL, task: str = "llm/v1/chat") -> Adapter:
    return build_vertex_adapter(external_model(model, task), lambda: 5.0)


def user(content: object = "hi") -> dict[str, Any]:
    return {"role": "user", "content": content}


def ask(
    *messages: object, model: str = MODEL, images: Mapping[str, Image] | None = None, **rest: object
) -> dict[str, Any]:
    """Return the body sent, which Google's own types and the emulator's rules accept."""
    query = Query({"model": "endpoint", "messages": [*messages], **rest}, stream=False)
    request = adapter_of(model).plan(query, images or {}).requests[0]
    body: dict[str, Any] = json.loads(request.body)
    check_request(body, model)
    return body


def adapted(*messages: object, model: str = MODEL, **rest: object) -> tuple[str, ...]:
    query = Query({"messages": [*messages], **rest}, stream=False)
    return adapter_of(model).plan(query, {}).adapted


def test_a_request() -> None:
    body = ask(
        {"role": "system", "content": "be brief"},
        user(),
        {"role": "assistant", "content": "hello"},
        user([{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": PNG}}]),
        temperature=0,
        top_p=0.5,
        top_k=3,
        max_tokens=7,
        n=2,
        stop="x",
        presence_penalty=0.1,
        frequency_penalty=0.2,
        seed=9,
        logprobs=True,
        top_logprobs=2,
        response_format={"type": "json_object"},
        reasoning_effort="low",
        user=None,
        safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
        labels={"a": "b"},
        generationConfig={"mediaResolution": "MEDIA_RESOLUTION_LOW", "topK": 4},
        responseModalities=["TEXT"],
    )
    assert body == {
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "hi"}]},
            {"role": "model", "parts": [{"text": "hello"}]},
            {
                "role": "user",
                "parts": [
                    {"text": "look"},
                    {"inlineData": {"mimeType": "image/png", "data": "aW1n"}},
                ],
            },
        ],
        "generationConfig": {
            "temperature": 0,
            "topP": 0.5,
            "topK": 4,
            "maxOutputTokens": 7,
            "candidateCount": 2,
            "stopSequences": ["x"],
            "presencePenalty": 0.1,
            "frequencyPenalty": 0.2,
            "seed": 9,
            "responseLogprobs": True,
            "logprobs": 2,
            "responseMimeType": "application/json",
            "thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True},
            "responseModalities": ["TEXT"],
            "mediaResolution": "MEDIA_RESOLUTION_LOW",
        },
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
        "labels": {"a": "b"},
    }


def test_the_least_request() -> None:
    assert ask(user()) == {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}


def test_a_schema_for_the_answer() -> None:
    schema = {"type": "object", "properties": {"a": {"type": ["integer", "null"]}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert ask(user(), response_format=wanted)["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseSchema": {
            "type": "OBJECT",
            "properties": {"a": {"type": "INTEGER", "nullable": True}},
        },
    }


def test_effort_is_a_level_for_the_third_generation() -> None:
    config = ask(user(), model="gemini-3-pro-preview", reasoning_effort="high")["generationConfig"]
    assert config["thinkingConfig"] == {"thinkingLevel": "HIGH", "includeThoughts": True}
    config = ask(user(), reasoning_effort="none")["generationConfig"]
    assert config["thinkingConfig"] == {"thinkingBudget": 0, "includeThoughts": False}


def test_system_messages_anywhere_come_first_and_turns_alternate() -> None:
    messages = [
        {**user("a"), "name": "me"},
        {"role": "developer", "content": [{"type": "text", "text": "s1"}]},
        user("b"),
        {"role": "assistant", "content": None},
        {"role": "system", "content": "s2"},
        user("c"),
    ]
    body = ask(*messages)
    assert body["systemInstruction"] == {"parts": [{"text": "s1"}, {"text": "s2"}]}
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "user", "parts": [{"text": "c"}]},
    ]
    assert adapted(*messages) == (
        "messages=system moved to the front",
        "messages.name=dropped",
    )


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (PNG, {"inlineData": {"mimeType": "image/png", "data": "aW1n"}}),
        ("gs://b/a.png", {"fileData": {"mimeType": "image/png", "fileUri": "gs://b/a.png"}}),
        ("https://x/a", {"inlineData": {"mimeType": "image/jpeg", "data": "YWJj"}}),
    ],
)
def test_images(given: str, sent: object) -> None:
    message = user([{"type": "image_url", "image_url": {"url": given, "detail": "low"}}])
    query = Query({"messages": [message]}, stream=False)
    fetched = adapter_of().image_urls(query)
    assert list(fetched) == ([given] if given.startswith("https") else [])
    images = {url: Image("image/jpeg", b"abc") for url in fetched}
    assert ask(message, images=images)["contents"][0]["parts"] == [sent]
    assert adapter_of().plan(query, images).adapted == ("image_url.detail=dropped",)


def test_sound_and_files_are_sent_inline() -> None:
    pdf = "data:application/pdf;base64,cGRm"
    parts = [
        {"type": "input_audio", "input_audio": {"data": "YWJj", "format": "wav"}},
        {"type": "file", "file": {"file_data": pdf}},
    ]
    assert ask(user(parts))["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "audio/wav", "data": "YWJj"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "cGRm"}},
    ]


CHOICES: Mapping[str, tuple[object, object]] = {
    "absent": (None, None),
    "auto": ("auto", {"mode": "AUTO"}),
    "none": ("none", {"mode": "NONE"}),
    "required": ("required", {"mode": "ANY"}),
    "named": (
        {"type": "function", "function": {"name": "do_nothing"}},
        {"mode": "ANY", "allowedFunctionNames": ["do_nothing"]},
    ),
}


@pytest.mark.parametrize("parallel", [None, True, False])
@pytest.mark.parametrize("choice", CHOICES)
def test_tools(choice: str, *, parallel: bool | None) -> None:
    given, sent = CHOICES[choice]
    rest: dict[str, Any] = {
        "tools": [WEATHER, NOTHING, {"googleSearch": {}}],
        "tool_choice": given,
        "parallel_tool_calls": parallel,
    }
    body = ask(user(), **rest)
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {
                    "name": "get_weather",
                    "description": "Looks",
                    "parameters": {
                        "type": "OBJECT",
                        "properties": {"city": {"type": "STRING"}},
                        "required": ["city"],
                    },
                },
                {"name": "do_nothing"},
            ]
        },
        {"googleSearch": {}},
    ]
    assert body.get("toolConfig", {}).get("functionCallingConfig") == sent
    dropped = ("parallel_tool_calls=dropped",) if parallel is False else ()
    assert adapted(user(), **rest) == ("tools.strict=dropped", *dropped)


def test_allowed_tools() -> None:
    allowed = {
        "type": "allowed_tools",
        "allowed_tools": {
            "mode": "required",
            "tools": [{"type": "function", "function": {"name": "do_nothing"}}],
        },
    }
    body = ask(user(), tools=[WEATHER, NOTHING], tool_choice=allowed)
    assert body["tools"] == [{"functionDeclarations": [{"name": "do_nothing"}]}]
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}


def test_a_choice_without_tools_is_left_out() -> None:
    body = ask(user(), tool_choice="auto", parallel_tool_calls=False, tools=[])
    assert body.keys() == {"contents"}


def call(name: str, arguments: object, call_id: str, **rest: object) -> dict[str, object]:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function, **rest}


def test_results_of_one_turn_stand_together() -> None:
    body = ask(
        user(),
        {
            "role": "assistant",
            "content": "Let me see",
            "tool_calls": [
                call("get_weather", '{"city":"Bonn"}', "1"),
                call("get_weather", '{"city":"Bonn"}', "2"),
                call("do_nothing", "", "3"),
                call("do_nothing", "not json", "4"),
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": '{"rain": true}'},
        {"role": "tool", "tool_call_id": "2", "content": "it rains"},
        {"role": "tool", "tool_call_id": "3", "content": '{"a": [{"$ref": "x"}]}'},
        {"role": "tool", "tool_call_id": "4", "content": [{"type": "text", "text": "[1]"}]},
        user("and?"),
    )
    weather = {"functionCall": {"name": "get_weather", "args": {"city": "Bonn"}}}
    assert body["contents"][1]["parts"] == [
        {"text": "Let me see"},
        weather,
        weather,
        {"functionCall": {"name": "do_nothing", "args": {}}},
        {"functionCall": {"name": "do_nothing", "args": {"arguments": "not json"}}},
    ]
    assert [part.get("functionResponse") for part in body["contents"][2]["parts"]] == [
        {"name": "get_weather", "response": {"rain": True}},
        {"name": "get_weather", "response": {"output": "it rains"}},
        {"name": "do_nothing", "response": {"output": '{"a": [{"$ref": "x"}]}'}},
        {"name": "do_nothing", "response": {"output": "[1]"}},
        None,
    ]


def test_a_result_nested_too_deeply_to_look_at_is_sent_as_text() -> None:
    text = '{"a":' * 900 + "1" + "}" * 900
    said = {"role": "assistant", "tool_calls": [call("a", "{}", "1")]}
    result = {"role": "tool", "tool_call_id": "1", "content": text}
    body = ask(user(), said, result)
    assert body["contents"][2]["parts"][0]["functionResponse"]["response"] == {"output": text}


@pytest.mark.parametrize("name", ["2nd", "-x", "", "a b", "naïve", "x" * 65, "colon:ed"])
def test_names_that_gemini_refuses_are_changed_there_and_back(name: str) -> None:
    tools = [{"type": "function", "function": {"name": name}}, NOTHING]
    choice = {"type": "function", "function": {"name": name}}
    call = {"id": "1", "type": "function", "function": {"name": name, "arguments": "{}"}}
    history = [
        user(),
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "done"},
    ]
    body = ask(*history, tools=tools, tool_choice=choice)
    declared, other = body["tools"][0]["functionDeclarations"]
    wire = declared["name"]
    assert wire != name
    assert other["name"] == "do_nothing"
    assert body["contents"][1]["parts"][0]["functionCall"]["name"] == wire
    assert body["contents"][2]["parts"][0]["functionResponse"]["name"] == wire
    assert body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == [wire]
    assert "tools=renamed" in adapted(user(), tools=tools)
    answer = candidate("STOP", {"functionCall": {"name": wire}})
    (called,) = parse(answer, tools=tools)["choices"][0]["message"]["tool_calls"]
    assert called["function"]["name"] == name
    first, *_ = stream(event(answer), tools=tools)
    assert first["choices"][0]["delta"]["tool_calls"][0]["function"]["name"] == name


def test_names_that_fit_stay() -> None:
    names = ["_a", "a.b-c_D9", "x" * 64]
    body = ask(user(), tools=[{"function": {"name": name}} for name in names])
    assert [one["name"] for one in body["tools"][0]["functionDeclarations"]] == names
    assert adapted(user(), tools=[NOTHING]) == ()


def test_names_never_meet() -> None:
    names = ["1a", "_1a", "-1a", "_-1a"]
    body = ask(user(), tools=[{"function": {"name": name}} for name in names])
    declared = body["tools"][0]["functionDeclarations"]
    assert len({one["name"] for one in declared}) == len(names)


def test_thought_signatures_return_with_what_they_sign() -> None:
    signed = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    said = {
        "role": "assistant",
        "content": "x",
        "tool_calls": [call("a", "{}", "1", **signed), call("a", "{}", "2")],
        **signed,
    }
    results = [{"role": "tool", "tool_call_id": one, "content": "r"} for one in "12"]
    parts = ask(user(), said, *results, model="gemini-3-pro-preview")["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == ["c2ln", "c2ln", None]
    assert adapted(user(), said, *results, model="gemini-3-pro-preview") == ()


def test_a_signature_that_the_caller_lost_is_not_checked() -> None:
    said = {"role": "assistant", "tool_calls": [call("a", "{}", "1"), call("a", "{}", "2")]}
    results = [{"role": "tool", "tool_call_id": one, "content": "r"} for one in "12"]
    third = "gemini-3-pro-preview"
    parts = ask(user(), said, *results, model=third)["contents"][1]["parts"]
    skip = "skip_thought_signature_validator"
    assert [part.get("thoughtSignature") for part in parts] == [skip, None]
    (noted,) = adapted(user(), said, *results, model=third)
    assert noted.startswith("thought_signature=")
    assert adapted(user(), said, *results) == ()


@pytest.mark.parametrize(
    "rest",
    [
        {"logit_bias": {"1": 2}},
        {"functions": [{}]},
        {"audio": {}},
        {"response_format": {"type": "grammar"}},
        {"response_format": "json"},
        {"response_format": {"type": "json_schema"}},
        {"reasoning_effort": "enormous"},
        {"reasoning_effort": ["low"]},
        {"tools": "x"},
        {"tools": [{"type": "web"}]},
        {"tools": ["x"]},
        {"tools": [NOTHING], "tool_choice": {"function": {"name": "other"}}},
        {"tools": [NOTHING], "tool_choice": "sometimes"},
        {"tools": [NOTHING], "tool_choice": {"type": "allowed_tools"}},
        {"stop": 1},
        {"generationConfig": []},
        {"messages": []},
        {"messages": [{"role": "system", "content": "x"}]},
        {"messages": [{"role": "narrator", "content": "x"}]},
        {"messages": [{"role": "tool", "tool_call_id": "1", "content": "x"}]},
        {"messages": [user([{"type": "hologram"}])]},
        {"messages": [user([{"type": "image_url", "image_url": {"url": "ftp://x"}}])]},
        {"messages": [user([{"type": "image_url", "image_url": {"url": "gs://x"}}])]},
        {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": PNG}]}]},
    ],
)
def test_what_gemini_cannot_take_is_refused_with_a_reason(rest: dict[str, Any]) -> None:
    query = Query({"messages": [user()], **rest}, stream=False)
    with pytest.raises(errors.RequestRefused) as caught:
        adapter_of().plan(query, {})
    assert isinstance(caught.value.detail, dict)
    assert caught.value.detail["error"]["message"]


def test_a_schema_nested_too_deeply_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(2000):
        schema = {"type": "array", "items": schema}
    tool = {"function": {"name": "a", "parameters": schema}}
    with pytest.raises(errors.RequestRefused):
        ask(user(), tools=[tool])


def test_what_does_no_harm_is_dropped_and_reported() -> None:
    rest: dict[str, Any] = {
        "user": "me",
        "store": True,
        "logit_bias": {},
        "modalities": ["text"],
        "top_k": None,
    }
    assert ask(user(), **rest).keys() == {"contents"}
    assert adapted(user(), **rest) == ("user=dropped", "store=dropped")


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


def parse(answer: object, **body: object) -> dict[str, Any]:
    query = Query({"messages": [user()], **body}, stream=False)
    return adapter_of().parse_answers(query, (HttpAnswer(200, {}, json.dumps(answer).encode()),))


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


def candidate(reason: str, *parts: object) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": [*parts]}, "finishReason": reason}]}


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
        ("MALFORMED_FUNCTION_CALL", errors.ProviderFailed),
        ("UNEXPECTED_TOOL_CALL", errors.ProviderFailed),
        ("OTHER", errors.ProviderFailed),
        ("MISSING_THOUGHT_SIGNATURE", errors.RequestRefused),
    ],
)
def test_a_model_that_broke_off_did_not_stop(reason: str, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        parse(candidate(reason))
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


def event(response: object) -> bytes:
    return b"data: " + json.dumps(response, ensure_ascii=False).encode() + b"\r\n\r\n"


def stream(*parts: bytes, task: str = "llm/v1/chat", **body: object) -> Iterator[Any]:
    query = Query({"messages": [user()], "prompt": "hi", **body}, stream=True)
    parser = adapter_of(task=task).stream_parser(query)
    for part in parts:
        yield from parser.feed(part)
        assert not parser.ended
    yield from parser.finish()
    assert parser.ended


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
