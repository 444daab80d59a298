"""Chats: what is peculiar to the Messages API; `test_conformance.py` has what all share."""

import base64
import json
from functools import cache
from typing import Any

import pytest
from anthropic.types import (
    ImageBlockParam,
    MessageParam,
    RedactedThinkingBlockParam,
    TextBlockParam,
    ThinkingBlockParam,
    ToolParam,
    ToolResultBlockParam,
    ToolUseBlockParam,
)
from anthropic.types.message_create_params import (
    MessageCreateParamsBase,
    MessageCreateParamsNonStreaming,
    MessageCreateParamsStreaming,
)
from modelserving.v1.external_model_pb2 import AnthropicConfig, ExternalModel
from pydantic import TypeAdapter, ValidationError

from modelplane.adapters.providers import errors
from modelplane.adapters.providers.anthropic.provider import (
    AnthropicAdapter,
    build_anthropic_adapter,
    classify_error,
)
from modelplane.adapters.providers.types import HttpAnswer, JsonObject, Plan, Query
from tests.emulators.anthropic import schema
from tests.emulators.anthropic.blocks import sign

KEY = "sk-ant-very-secret"
MODEL = "claude-3-5-sonnet-20240620"
PNG = base64.b64encode(b"png").decode()
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": CITY}}


def build(model: str = MODEL, task: str = "llm/v1/chat", key: str = KEY) -> AnthropicAdapter:
    config = AnthropicConfig(anthropic_api_key_plaintext=key)
    external = ExternalModel(name=model, provider="anthropic", task=task, anthropic_config=config)
    return build_anthropic_adapter(external, lambda: 1700000000.9)


def plan(body: JsonObject, *, stream: bool = False, model: str = MODEL) -> Plan:
    return build(model).plan(Query(body, stream), {})


def sent(body: JsonObject, *, stream: bool = False, model: str = MODEL) -> Any:
    """Return the body that goes out, which the emulator's schema and the SDK's types accept."""
    wire = json.loads(plan(body, stream=stream, model=model).requests[0].body)
    schema.check_messages_body(wire, sampling=True)
    untyped = ("temperature", "top_p", "top_k")
    typed = {name: value for name, value in wire.items() if name not in untyped}
    validate_typed(typed)
    return wire


BLOCKS: dict[str, TypeAdapter[Any]] = {
    "text": TypeAdapter(TextBlockParam),
    "image": TypeAdapter(ImageBlockParam),
    "tool_use": TypeAdapter(ToolUseBlockParam),
    "tool_result": TypeAdapter(ToolResultBlockParam),
    "thinking": TypeAdapter(ThinkingBlockParam),
    "redacted_thinking": TypeAdapter(RedactedThinkingBlockParam),
}


@cache
def types_of(kind: Any) -> TypeAdapter[Any]:
    """Return what checks values of a type; to build it takes longer than most tests."""
    return TypeAdapter(kind)


def validate_typed(body: Any) -> None:
    """Check a body piece by piece: pydantic checks the client's iterables only when read."""
    cls = MessageCreateParamsStreaming if body.get("stream") else MessageCreateParamsNonStreaming
    pieces: dict[str, object] = {"messages": [], "tools": []}
    shell = {name: pieces.get(name, value) for name, value in body.items()}
    types_of(cls).validate_python(shell)
    assert shell.keys() <= cls.__annotations__.keys() | MessageCreateParamsBase.__annotations__
    for one in body.get("tools", ()):
        types_of(ToolParam).validate_python(one)
        assert one.keys() <= ToolParam.__annotations__.keys()
    for one in body["messages"]:
        types_of(MessageParam).validate_python({**one, "content": ""})
        validate_blocks(one["content"])
    validate_blocks(body.get("system", ""))


def validate_blocks(content: Any) -> None:
    for block in () if isinstance(content, str) else content:
        if "content" in block:
            validate_blocks(block["content"])
        flat = {name: value for name, value in block.items() if name != "content"}
        BLOCKS[block["type"]].validate_python(flat)


def test_the_types_of_the_official_client_are_strict() -> None:
    known = {"model": MODEL, "max_tokens": 1, "messages": [user("hi")]}
    validate_typed(known)
    block = {"role": "user", "content": [{"type": "text"}]}
    for wrong in (
        {"unknown": 1},
        {"max_tokens": "x"},
        {"tools": [{"name": "a"}]},
        {"messages": [block]},
    ):
        with pytest.raises((ValidationError, AssertionError)):
            validate_typed({**known, **wrong})


def user(content: object) -> JsonObject:
    return {"role": "user", "content": content}


def chat(*messages: JsonObject, **more: object) -> JsonObject:
    return {"messages": list(messages or (user("hi"),)), "max_tokens": 100, **more}


def call(call_id: str, name: str = "get_weather", arguments: object = '{"city":"Ulm"}') -> Any:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def assistant(*calls: object, content: object = None, **more: object) -> JsonObject:
    return {"role": "assistant", "content": content, "tool_calls": list(calls), **more}


def tool(call_id: str, content: object) -> JsonObject:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def test_the_request() -> None:
    planned = plan(
        chat(
            {"role": "system", "content": "Be brief."},
            user("hi"),
            model="endpoint",
            temperature=0.5,
            top_p=0.9,
            top_k=5,
            stop=["END", "\n"],
            user="u-1",
            n=1,
            stream_options={"include_usage": True},
        ),
        stream=True,
    )
    request = planned.requests[0]
    assert request.url == "https://api.anthropic.com/v1/messages"
    assert request.headers == {
        "x-api-key": KEY,
        "anthropic-version": "2023-06-01",
        "content-type": "application/json",
    }
    assert json.loads(request.body) == {
        "model": MODEL,
        "max_tokens": 100,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u-1"},
        "stream": True,
    }
    assert planned.adapted == ("stop=blank texts dropped",)
    assert KEY not in repr(request) + repr(planned)


def test_betas_go_into_a_header() -> None:
    request = plan(chat(anthropic_beta=["a-1", "b-2"])).requests[0]
    assert request.headers["anthropic-beta"] == "a-1,b-2"
    assert "anthropic_beta" not in json.loads(request.body)
    with pytest.raises(errors.RequestRefused):
        plan(chat(anthropic_beta="a\r\nx: y"))


def test_system_messages_anywhere_move_to_the_front() -> None:
    body = chat(
        {"role": "system", "content": "One."},
        user("hi"),
        {"role": "developer", "content": [{"type": "text", "text": "Two."}]},
        user("there"),
    )
    wire = sent(body)
    assert [block["text"] for block in wire["system"]] == ["One.", "Two."]
    assert [block["text"] for block in wire["messages"][0]["content"]] == ["hi", "there"]
    assert plan(body).adapted == ("messages=system moved to the front",)


def test_a_conversation_with_tools() -> None:
    wire = sent(
        chat(
            user("weather?"),
            assistant(call("a"), call("b", arguments=""), content="Let me look."),
            tool("a", "it's sunny, not JSON"),
            tool("b", [{"type": "text", "text": "rain"}]),
            user("and?"),
            tools=[WEATHER],
        )
    )
    assert wire["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "a", "name": "get_weather", "input": {"city": "Ulm"}},
                {"type": "tool_use", "id": "b", "name": "get_weather", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "it's sunny, not JSON"},
                {"type": "tool_result", "tool_use_id": "b", "content": "rain"},
                {"type": "text", "text": "and?"},
            ],
        },
    ]
    assert wire["tools"] == [{"name": "get_weather", "input_schema": CITY}]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (None, {}),
        (" ", {}),
        ("{}", {}),
        ('{"a": 1}', {"a": 1}),
        ({"a": 1}, {"a": 1}),
        ("[1]", {"arguments": "[1]"}),
        ('{"a": ', {"arguments": '{"a": '}),
    ],
)
def test_arguments_are_read_defensively(arguments: object, expected: object) -> None:
    turns = (user("x"), assistant(call("a", arguments=arguments)), tool("a", ""))
    wire = sent(chat(*turns, tools=[WEATHER]))
    assert wire["messages"][1]["content"][0]["input"] == expected
    assert wire["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": "a"}]


def test_earlier_calls_without_tools_stay_possible() -> None:
    body = chat(user("x"), assistant(call("functions.a:0")), tool("functions.a:0", "r"))
    wire = sent(body)
    assert wire["tools"][0]["name"] == "get_weather"
    assert wire["tool_choice"] == {"type": "none"}
    assert (
        wire["messages"][1]["content"][0]["id"] == wire["messages"][2]["content"][0]["tool_use_id"]
    )
    assert plan(body).adapted == ("tools=taken from earlier calls",)


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("auto", None, {"type": "auto"}),
        ("auto", False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", None, {"type": "any"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        ("none", None, {"type": "none"}),
        ("none", False, {"type": "none"}),
        (
            {"type": "function", "function": {"name": "get_weather"}},
            False,
            {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
        ),
    ],
)
def test_the_choice_among_tools(choice: object, parallel: object, expected: object) -> None:
    wire = sent(chat(tools=[WEATHER], tool_choice=choice, parallel_tool_calls=parallel))
    assert wire.get("tool_choice") == expected


def test_tools_in_other_forms() -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
    odd = {"$schema": "s", "properties": {"$id": {"type": "string"}, "a": {"$id": "x"}}}
    function = {"name": "f", "description": "d", "parameters": odd, "strict": True}
    plain = {"type": "function", "function": {"name": "g", "description": ""}}
    body = chat(tools=[search, {"type": "function", "function": function}, plain])
    assert json.loads(plan(body).requests[0].body)["tools"] == [
        search,
        {
            "name": "f",
            "description": "d",
            "input_schema": {
                "type": "object",
                "properties": {"$id": {"type": "string"}, "a": {}},
                "additionalProperties": False,
            },
            "strict": True,
        },
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
    ]


def test_without_tools_what_concerns_them_is_dropped() -> None:
    body = chat(tools=[], tool_choice="auto", parallel_tool_calls=True)
    assert sent(body).keys() == {"model", "messages", "max_tokens"}
    assert plan(body).adapted == ("parallel_tool_calls=dropped",)


@pytest.mark.parametrize("name", ["get.weather", "a b", "é" * 3, "x" * 65, ""])
def test_illegal_names_are_renamed_and_back(name: str) -> None:
    tools = [{"type": "function", "function": {"name": name}}]
    turns = (user("x"), assistant(call("a", name)), tool("a", "r"))
    choice = {"type": "function", "function": {"name": name}}
    body = chat(*turns, tools=tools, tool_choice=choice)
    wire = sent(body)
    own = wire["tools"][0]["name"]
    assert wire["messages"][1]["content"][0]["name"] == wire["tool_choice"]["name"] == own
    assert "tools=renamed" in plan(body).adapted
    use = {"type": "tool_use", "id": "t", "name": own, "input": {}}
    answer = parse(message([use], "tool_use"), body)
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == name


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://host/a.png", {"type": "url", "url": "https://host/a.png"}),
        (
            f"data:image/png;base64,{PNG}",
            {"type": "base64", "media_type": "image/png", "data": PNG},
        ),
        (
            f"DATA:image/jpg;base64,{PNG}",
            {"type": "base64", "media_type": "image/jpeg", "data": PNG},
        ),
        ("data:image/gif,p%6eg", {"type": "base64", "media_type": "image/gif", "data": PNG}),
    ],
)
def test_images(url: str, source: object) -> None:
    image = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    text = {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}}
    wire = sent(chat(user([text, image])))
    assert wire["messages"][0]["content"] == [text, {"type": "image", "source": source}]
    wire = sent(chat(user("x"), assistant(call("a")), tool("a", [image]), tools=[WEATHER]))
    result = wire["messages"][2]["content"][0]
    assert result["content"] == [{"type": "image", "source": source}]
    assert not build().image_urls(Query(chat(user([image])), stream=False))


def test_thinking_goes_round() -> None:
    first: JsonObject = {"type": "thinking", "thinking": "hm", "signature": sign("hm")}
    second: JsonObject = {"type": "redacted_thinking", "data": "xyz"}
    answer = parse(message([first, second, {"type": "text", "text": "yes"}]))
    said = answer["choices"][0]["message"]
    assert said == {
        "role": "assistant",
        "content": "yes",
        "reasoning_content": "hm",
        "thinking_blocks": [first, second],
    }
    expected: list[JsonObject] = [first, second, {"type": "text", "text": "yes"}]
    wire = sent(chat(user("x"), said, user("y")))
    assert wire["messages"][1]["content"] == expected
    numbered = [{"index": 0, **first}, {"index": 1, **second}]
    wire = sent(chat(user("x"), {**said, "thinking_blocks": numbered}, user("y")))
    assert wire["messages"][1]["content"] == expected
    parts: JsonObject = {"role": "assistant", "content": expected}
    assert sent(chat(user("x"), parts, user("y")))["messages"][1]["content"] == expected


SCHEMA = {
    "$schema": "s",
    "type": "object",
    "properties": {"type": {"type": "object"}, "list": {"items": {"type": ["object", "null"]}}},
}


def test_a_json_schema() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    body = chat(response_format=wanted)
    closed = {"additionalProperties": False}
    assert sent(body)["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {
                "type": {"type": "object", **closed},
                "list": {"items": {"type": ["object", "null"], **closed}},
            },
            **closed,
        },
    }
    assert plan(body).adapted == ("response_format=additionalProperties set to false",)
    assert SCHEMA["$schema"] == "s"
    assert "output_config" not in sent(chat(response_format={"type": "text"}))


@pytest.mark.parametrize(
    ("model", "effort", "limit", "thinking", "max_tokens"),
    [
        ("claude-sonnet-4-5", "low", 5000, {"type": "enabled", "budget_tokens": 1024}, 5000),
        ("claude-sonnet-4-5", "high", None, {"type": "enabled", "budget_tokens": 16384}, 20480),
        ("claude-sonnet-4-5", "high", 5000, {"type": "enabled", "budget_tokens": 2500}, 5000),
        ("claude-sonnet-4-5", "low", 1025, {"type": "enabled", "budget_tokens": 1024}, 1025),
        ("claude-opus-4-8", "high", 5000, {"type": "adaptive"}, 5000),
        ("claude-opus-4-8", "none", 5000, None, 5000),
    ],
)
def test_reasoning_effort(
    model: str, effort: str, limit: int | None, thinking: object, max_tokens: int
) -> None:
    wire = sent(chat(reasoning_effort=effort, max_tokens=limit), model=model)
    assert wire.get("thinking") == thinking
    assert wire["max_tokens"] == max_tokens
    adaptive = thinking == {"type": "adaptive"}
    assert wire.get("output_config") == ({"effort": effort} if adaptive else None)


@pytest.mark.parametrize(
    ("model", "budgets"),
    [
        ("claude-3-7-sonnet-20250219", True),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", True),
        ("claude-sonnet-4-20250514", True),
        ("claude-opus-4@20250514", True),
        ("claude-opus-4-0", True),
        ("claude-opus-4-1-20250805", True),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", True),
        ("claude-opus-4-6", False),
        ("anthropic.claude-opus-4-6-v1", False),
        ("claude-opus-5-5", False),
        ("claude-sonnet-4-10", False),
    ],
)
def test_who_takes_budgets(model: str, *, budgets: bool) -> None:
    body = plan(chat(reasoning_effort="low", max_tokens=9999), model=model).requests[0].body
    assert json.loads(body)["thinking"]["type"] == ("enabled" if budgets else "adaptive")


@pytest.mark.parametrize(
    ("more", "expected", "adapted"),
    [
        ({"max_tokens": None}, {"max_tokens": 4096}, "max_tokens=defaulted to 4096"),
        ({"max_completion_tokens": 7}, {"max_tokens": 7}, None),
        ({"temperature": 1.7}, {"temperature": 1}, "temperature=clamped"),
        ({"temperature": 0}, {"temperature": 0}, None),
        ({"top_p": 0}, {"top_p": 0}, None),
        ({"stop": "END"}, {"stop_sequences": ["END"]}, None),
        ({"safety_identifier": "s"}, {"metadata": {"user_id": "s"}}, None),
        ({"metadata": {"user_id": "m"}}, {"metadata": {"user_id": "m"}}, None),
        ({"metadata": {"team": "a"}}, {}, "metadata=dropped"),
        ({"service_tier": "auto"}, {"service_tier": "auto"}, None),
        ({"service_tier": "flex"}, {}, "service_tier=dropped"),
        ({"seed": 5}, {}, "seed=dropped"),
        ({"store": False}, {}, None),
        ({"store": True}, {}, "store=dropped"),
        ({"n": 1, "logprobs": False, "presence_penalty": 0.0, "logit_bias": {}}, {}, None),
    ],
)
def test_parameters(more: JsonObject, expected: JsonObject, adapted: str | None) -> None:
    wire = sent(chat(**more))
    assert wire == {"model": MODEL, "max_tokens": 100, "messages": [user("hi")], **expected}
    assert plan(chat(**more)).adapted == (() if adapted is None else (adapted,))


def test_unknown_parameters_pass() -> None:
    body = plan(chat(mcp_servers=[1], thinking={"type": "disabled"})).requests[0].body
    assert json.loads(body)["mcp_servers"] == [1]
    assert json.loads(body)["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (chat(n=2), "'n'"),
        (chat(logprobs=True), "logprobs"),
        (chat(top_logprobs=2), "top_logprobs"),
        (chat(presence_penalty=0.5), "presence_penalty"),
        (chat(frequency_penalty=1), "frequency_penalty"),
        (chat(logit_bias={"1": 1}), "logit_bias"),
        (chat(modalities=["audio"]), "modalities"),
        (chat(functions=[{"name": "f"}]), "functions"),
        (chat(response_format={"type": "json_object"}), "json_schema"),
        (chat(response_format={"type": "json_schema"}), "schema"),
        (chat(reasoning_effort="extreme"), "reasoning_effort"),
        (chat(stop=[1]), "stop"),
        (chat(tools={"a": 1}), "tools"),
        (chat(tools=[WEATHER], tool_choice="any"), "tool_choice"),
        (chat(tool_choice="required"), "tool_choice"),
        (chat(tools=[{"type": "function", "function": {}}]), "name"),
        ({"messages": []}, "messages"),
        (chat(user({"a": 1})), "content"),
        (chat(user([{"type": "input_audio"}])), "input_audio"),
        (chat(user([{"type": "image_url"}])), "image_url"),
        (chat(user([{"type": "image_url", "image_url": "data:x"}])), "data URI"),
        (chat({"role": "robot"}), "role"),
        (chat(user("x"), tool("nobody", "r")), "tool_call_id"),
        (chat({"role": "assistant", "tool_calls": [{}]}), "tool_calls"),
    ],
)
def test_what_cannot_be_put_is_refused_by_name(body: JsonObject, words: str) -> None:
    with pytest.raises(errors.RequestRefused) as refused:
        plan(body)
    assert words in str(refused.value.detail)


def test_a_budget_needs_room() -> None:
    with pytest.raises(errors.RequestRefused, match="RequestRefused") as refused:
        plan(chat(reasoning_effort="low"), model="claude-sonnet-4-5")
    assert "max_tokens" in str(refused.value.detail)


def nested(depth: int) -> JsonObject:
    schema: JsonObject = {}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize("depth", [300, 900])
def test_a_schema_that_is_nested_too_deeply(depth: int) -> None:
    function = {"name": "f", "parameters": nested(depth)}
    with pytest.raises(errors.RequestRefused):
        plan(chat(tools=[{"type": "function", "function": function}]))


def test_arguments_that_are_nested_too_deeply() -> None:
    use = {"type": "tool_use", "id": "t", "name": "f", "input": nested(300)}
    raw = json.dumps(message([use], "tool_use")).encode()
    with pytest.raises(errors.MalformedAnswer):
        build().parse_answers(Query({}, stream=False), (HttpAnswer(200, {}, raw),))


def test_the_query_is_left_alone() -> None:
    body = chat(user("hi"), assistant(call("a")), tool("a", "r"), tools=[WEATHER], stop="x", n=1)
    before = json.dumps(body)
    plan(body, stream=True)
    assert json.dumps(body) == before


@pytest.mark.parametrize("key", ["", "a\r\nb", "é"])
def test_a_key_that_cannot_work(key: str) -> None:
    with pytest.raises(errors.ConfigRefused, match="anthropic_api_key"):
        build(key=key)


def test_a_task_it_does_not_have() -> None:
    with pytest.raises(errors.ConfigRefused, match="llm/v1/embeddings"):
        build(task="llm/v1/embeddings")


def message(content: list[Any], stop_reason: str | None = "end_turn", **usage: int) -> JsonObject:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": stop_reason,
        "usage": {"input_tokens": 10, "output_tokens": 5, **usage},
    }


def parse(answer: JsonObject, body: JsonObject | None = None) -> Any:
    http = HttpAnswer(200, {}, json.dumps(answer).encode())
    return build().parse_answers(Query(body or {}, stream=False), (http,))


def test_the_answer() -> None:
    content = [
        {"type": "text", "text": "one"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "text", "text": "two"},
        {"type": "tool_use", "id": "t1", "name": "clock", "input": {}},
        {"type": "tool_use", "id": "t2", "name": "clock", "input": {"a": "é"}},
    ]
    answer = parse(
        message(content, "tool_use", cache_read_input_tokens=3, cache_creation_input_tokens=4)
    )
    assert answer == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": 1700000000,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "onetwo",
                    "tool_calls": [
                        call("t1", "clock", "{}"),
                        call("t2", "clock", '{"a":"é"}'),
                    ],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 17,
            "completion_tokens": 5,
            "total_tokens": 22,
            "prompt_tokens_details": {"cached_tokens": 3},
            "cache_creation_input_tokens": 4,
        },
    }


@pytest.mark.parametrize(
    ("reason", "finish", "raw"),
    [
        ("end_turn", "stop", False),
        ("stop_sequence", "stop", False),
        ("max_tokens", "length", False),
        ("model_context_window_exceeded", "length", True),
        ("refusal", "content_filter", True),
        ("pause_turn", "length", True),
        ("something_new", "stop", True),
    ],
)
def test_stop_reasons(reason: str, finish: str, *, raw: bool) -> None:
    choice = parse(message([], reason))["choices"][0]
    assert choice["finish_reason"] == finish
    assert choice.get("provider_finish_reason") == (reason if raw else None)
    assert choice["message"]["content"] == ""


def test_reasoning_tokens() -> None:
    answer = message([])
    answer["usage"] = {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}
    assert parse(answer)["usage"]["completion_tokens_details"] == {"reasoning_tokens": 4}


@pytest.mark.parametrize("answer", [{}, {"content": "x"}, message([], None)])
def test_what_is_no_answer(answer: JsonObject) -> None:
    with pytest.raises(errors.MalformedAnswer):
        parse(answer)


def test_an_error_with_status_200() -> None:
    with pytest.raises(errors.ProviderUnavailable):
        parse({"type": "error", "error": {"type": "overloaded_error", "message": "m"}})


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("invalid_request_error", 400, errors.RequestRefused),
        ("invalid_request_error", None, errors.RequestRefused),
        ("authentication_error", 401, errors.CredentialRefused),
        ("billing_error", 402, errors.QuotaExhausted),
        (None, 402, errors.QuotaExhausted),
        ("permission_error", 403, errors.CredentialRefused),
        ("not_found_error", 404, errors.ModelNotFound),
        ("request_too_large", 413, errors.RequestRefused),
        ("rate_limit_error", 429, errors.RateLimited),
        ("api_error", 500, errors.ProviderFailed),
        ("api_error", 503, errors.ProviderUnavailable),
        ("timeout_error", 504, errors.ProviderTimeout),
        ("overloaded_error", 529, errors.ProviderUnavailable),
        ("overloaded_error", None, errors.ProviderUnavailable),
        ("rate_limit_error", None, errors.RateLimited),
        ("something_new", None, errors.ProviderFailed),
        ({}, 418, errors.RequestRefused),
    ],
)
def test_errors(kind: object, status: int | None, expected: type[errors.AdapterError]) -> None:
    assert classify_error(kind, status) is expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Your credit balance is too low to access the Anthropic API.", errors.QuotaExhausted),
        (
            "You have reached your specified API usage limits. Ask again in May.",
            errors.QuotaExhausted,
        ),
        ("This organization has been disabled.", errors.CredentialRefused),
        ("messages.0: the text 'Your credit balance is too low' is odd", errors.RequestRefused),
    ],
)
def test_what_concerns_the_account_is_not_the_callers_mistake(
    message: str, expected: type[errors.AdapterError]
) -> None:
    body: JsonObject = {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": message},
    }
    error = build().parse_error(HttpAnswer(400, {}, json.dumps(body).encode()))
    assert type(error) is expected
    with pytest.raises(expected):
        parse(body)


def test_an_error_keeps_what_was_said() -> None:
    body = {"type": "error", "error": {"type": "billing_error", "message": "for you"}}
    failed = HttpAnswer(400, {"retry-after": "3"}, json.dumps(body).encode())
    error = build().parse_error(failed)
    assert type(error) is errors.QuotaExhausted
    assert error.retry_after == 3
    assert error.detail == {
        "type": "error",
        "error": {"type": "billing_error", "message": "for you"},
    }
