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
