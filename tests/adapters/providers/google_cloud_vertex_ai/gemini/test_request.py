"""What Gemini is asked; `test_gemini_answers.py` has what its answers become."""

from collections.abc import Mapping
from typing import Any

import pytest

from modelplane.adapters.providers import errors
from modelplane.adapters.providers.types import Image, Query
from tests.adapters.providers.google_cloud_vertex_ai.gemini.queries import (
    NOTHING,
    PNG,
    WEATHER,
    adapted,
    adapter_of,
    ask,
    candidate,
    event,
    parse,
    stream,
    user,
)


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
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}, {"text": "c"}]},
    ]
    assert adapted(*messages) == (
        "messages.name=dropped",
        "messages=blank turn of the assistant left out",
        "messages=system moved to the front",
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


@pytest.mark.parametrize("levels", [250, 300, 900, 2000])
def test_a_result_nested_too_deeply_to_look_at_is_sent_as_text(levels: int) -> None:
    text = '{"a":' * levels + "1" + "}" * levels
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
        {"messages": [user(), {"role": "assistant", "content": "x"}]},
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


def function(parameters: object) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": parameters}}


def test_a_union_at_the_root_of_a_function_becomes_one_object() -> None:
    by_id = {"type": "object", "properties": {"id": {"type": "string"}}}
    by_name = {"type": "object", "properties": {"name": {"type": "string"}}}
    union = function({"anyOf": [by_id, by_name]})
    (tool,) = ask(user(), tools=[union])["tools"]
    assert tool["functionDeclarations"] == [
        {
            "name": "f",
            "parameters": {
                "type": "OBJECT",
                "description": "One of these forms: (id); (name).",
                "properties": {"id": {"type": "STRING"}, "name": {"type": "STRING"}},
            },
        }
    ]
    assert adapted(user(), tools=[union]) == ("tools=union of arguments folded",)


@pytest.mark.parametrize(
    ("parameters", "sent"),
    [
        (None, None),
        ({}, None),
        ({"type": "object", "properties": {}, "additionalProperties": False}, None),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"type": "OBJECT", "description": '{additionalProperties: {"type": "string"}}'},
        ),
    ],
)
def test_only_a_function_without_arguments_has_none(parameters: object, sent: object) -> None:
    (tool,) = ask(user(), tools=[function(parameters)])["tools"]
    assert tool["functionDeclarations"][0].get("parameters") == sent


def test_arguments_that_are_no_object_are_refused() -> None:
    query = Query({"messages": [user()], "tools": [function({"type": "string"})]}, stream=False)
    with pytest.raises(errors.RequestRefused) as refused:
        adapter_of().plan(query, {})
    assert "must describe an object" in str(refused.value.detail)


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
