"""Bedrock's chats: what is sent, what is read, and that both fit AWS's own models."""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st
from modelserving.v1.external_model_pb2 import AmazonBedrockConfig, ExternalModel

from adapters.providers.amazon_bedrock import build_amazon_bedrock_adapter
from adapters.providers.amazon_bedrock_adapter import BedrockAdapter
from adapters.providers.amazon_bedrock_models import build_model_id, build_url, read_region
from adapters.providers.amazon_bedrock_signing import AwsKey, sign
from adapters.providers.credentials import NO_CREDENTIAL
from adapters.providers.errors import (
    AdapterError,
    ConfigRefused,
    CredentialRefused,
    MalformedAnswer,
    ModelNotFound,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
    StreamTruncated,
)
from adapters.providers.types import HttpAnswer, HttpRequest, Image, JsonObject, Query
from tests.adapters.providers.conformance import open_gateway, read_choices, reassemble
from tests.emulators.amazon_bedrock import KEY, TEMPORARY_KEY, converse, frames
from tests.emulators.amazon_bedrock.cases import CASES, external_model
from tests.emulators.amazon_bedrock.converse_rules import check_conversation
from tests.emulators.amazon_bedrock.models import find
from tests.emulators.amazon_bedrock.schema import check_body
from tests.emulators.amazon_bedrock.signature import check_signature

NOW = 1_700_000_000.5
CLAUDE = "claude-3-sonnet-20240229-v1:0"
CLAUDE_ID = f"anthropic.{CLAUDE}"
HOST = "bedrock-runtime.us-east-1.amazonaws.com"
PNG = base64.b64encode(b"\x89PNG\r\n").decode()
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"city": {"type": "string"}},
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock"}}
WEATHER_SPEC = {
    "toolSpec": {
        "name": "weather",
        "description": "Tells the weather.",
        "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}},
    }
}


def adapter(name: str = CLAUDE, family: str = "anthropic", task: str = "chat") -> BedrockAdapter:
    return build_amazon_bedrock_adapter(external_model(name, family, task), lambda: NOW)


def user(content: object) -> JsonObject:
    return {"role": "user", "content": content}


def sent(
    *messages: JsonObject,
    family: str = "anthropic",
    name: str = CLAUDE,
    images: Mapping[str, Image] | None = None,
    **body: object,
) -> tuple[Any, tuple[str, ...]]:
    """Return the body that is sent, checked as AWS would, and what was adapted."""
    query = Query({"messages": list(messages), **body}, stream=False)
    plan = adapter(name, family).plan(query, images or {})
    (request,) = plan.requests
    document = json.loads(request.body)
    model_id = build_model_id(name, family)
    check_body("Converse", model_id, document)
    check_conversation(document, find(model_id))
    return document, plan.adapted


def refusal_of(*messages: JsonObject, family: str = "anthropic", **body: object) -> str:
    query = Query({"messages": list(messages), **body}, stream=False)
    with pytest.raises(RequestRefused) as refused:
        adapter(family=family).plan(query, {})
    return str(refused.value.detail)


def test_a_chat_is_put_exactly_so() -> None:
    body = {
        "messages": [
            {"role": "system", "content": "Be short."},
            user("Hi"),
            {"role": "assistant", "content": "Hello"},
            user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
        ],
        "max_tokens": 10,
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 40,
        "stop": "END",
        "anthropic_beta": ["x"],
    }
    plan = adapter().plan(Query(body, stream=False), {})
    (request,) = plan.requests
    assert request.url == f"https://{HOST}/model/anthropic.claude-3-sonnet-20240229-v1%3A0/converse"
    assert request.headers == {"content-type": "application/json", "accept": "application/json"}
    assert json.loads(request.body) == {
        "messages": [
            {"role": "user", "content": [{"text": "Hi"}]},
            {"role": "assistant", "content": [{"text": "Hello"}]},
            {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
        ],
        "system": [{"text": "Be short."}],
        "inferenceConfig": {
            "maxTokens": 10,
            "temperature": 0,
            "topP": 0.5,
            "stopSequences": ["END"],
        },
        "additionalModelRequestFields": {"top_k": 40, "anthropic_beta": ["x"]},
    }
    assert plan.adapted == ()


def test_a_stream_has_an_operation_of_its_own() -> None:
    (request,) = adapter().plan(Query({"messages": [user("Hi")]}, stream=True), {}).requests
    assert request.url.endswith("/converse-stream")
    assert b"stream" not in request.body


def test_messages_of_one_side_are_merged_and_systems_moved() -> None:
    document, adapted = sent(user("a"), {"role": "developer", "content": "S"}, user(" "), user("b"))
    assert document["messages"] == [{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]
    assert document["system"] == [{"text": "S"}]
    assert adapted == ("messages=system moved to the front",)


def test_blank_messages_only_are_refused() -> None:
    assert "must hold a text" in refusal_of(user("  "))


def test_images_are_sent_as_bytes() -> None:
    url = "https://images.test/a.jpg"
    parts = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "image_url", "image_url": url},
    ]
    query = Query({"messages": [user(parts)]}, stream=False)
    assert adapter().image_urls(query) == [url]
    document, _ = sent(user(parts), images={url: Image("image/jpeg", b"jpeg")})
    assert document["messages"][0]["content"] == [
        {"image": {"format": "png", "source": {"bytes": PNG}}},
        {"image": {"format": "jpeg", "source": {"bytes": base64.b64encode(b"jpeg").decode()}}},
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,%%%"}},
        {"type": "input_audio", "input_audio": {}},
    ],
)
def test_other_content_is_refused(part: JsonObject) -> None:
    assert refusal_of(user([part]))


def test_own_parts_and_cache_points_pass() -> None:
    document_block = {
        "format": "txt",
        "name": "a",
        "source": {"bytes": base64.b64encode(b"x").decode()},
    }
    cached = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}
    document, _ = sent(
        user([cached, {"type": "document", "document": document_block}]),
        tools=[{**WEATHER, "cache_control": {"type": "ephemeral"}}],
    )
    point = {"cachePoint": {"type": "default"}}
    assert document["messages"][0]["content"] == [
        {"text": "long"},
        point,
        {"document": document_block},
    ]
    assert document["toolConfig"] == {"tools": [WEATHER_SPEC, point]}


@pytest.mark.parametrize(
    ("choice", "expected", "adapted"),
    [
        (None, {"tools": [WEATHER_SPEC]}, ()),
        ("auto", {"tools": [WEATHER_SPEC], "toolChoice": {"auto": {}}}, ()),
        ("required", {"tools": [WEATHER_SPEC], "toolChoice": {"any": {}}}, ()),
        (
            {"type": "function", "function": {"name": "weather"}},
            {"tools": [WEATHER_SPEC], "toolChoice": {"tool": {"name": "weather"}}},
            (),
        ),
        ("none", None, ("tool_choice=tools left out",)),
    ],
)
@pytest.mark.parametrize("parallel", [None, True, False])
def test_the_choice_among_tools(
    choice: object, expected: object, adapted: tuple[str, ...], parallel: object
) -> None:
    document, found = sent(
        user("weather"), tools=[WEATHER], tool_choice=choice, parallel_tool_calls=parallel
    )
    assert document.get("toolConfig") == expected
    dropped = ("parallel_tool_calls=dropped",) if parallel is False and expected else ()
    assert found == dropped + adapted


def test_a_choice_without_tools() -> None:
    document, _ = sent(user("x"), tool_choice="none", parallel_tool_calls=True, tools=[])
    assert document.keys() == {"messages"}
    assert "no 'tools'" in refusal_of(user("x"), tool_choice="required")


def call(call_id: str, name: str = "weather", arguments: str = '{"city": "Oslo"}') -> JsonObject:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(call_id: str, content: object = "rain") -> JsonObject:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


HISTORY: tuple[JsonObject, ...] = (
    user("weather twice"),
    {"role": "assistant", "content": "Let me see.", "tool_calls": [call("c 1"), call("c2")]},
    result("c 1"),
    result("c2", [{"type": "text", "text": "sun"}]),
    user("and now?"),
)


def test_calls_and_results_are_grouped_and_keep_their_ids() -> None:
    document, _ = sent(*HISTORY, tools=[WEATHER])
    _, assistant, answered = document["messages"]
    use = {"name": "weather", "input": {"city": "Oslo"}}
    # An id that Converse would refuse is written in a way that it accepts, on both sides.
    changed = assistant["content"][1]["toolUse"]["toolUseId"]
    assert changed.startswith("c_1_")
    assert assistant["content"] == [
        {"text": "Let me see."},
        {"toolUse": {"toolUseId": changed, **use}},
        {"toolUse": {"toolUseId": "c2", **use}},
    ]
    assert answered["content"] == [
        {"toolResult": {"toolUseId": changed, "content": [{"text": "rain"}]}},
        {"toolResult": {"toolUseId": "c2", "content": [{"text": "sun"}]}},
        {"text": "and now?"},
    ]


@pytest.mark.parametrize("more", [{}, {"tools": [WEATHER], "tool_choice": "none"}])
def test_calls_are_told_in_words_where_no_tool_may_be_called(more: dict[str, Any]) -> None:
    document, adapted = sent(*HISTORY, **more)
    assert "toolConfig" not in document
    assert "messages=tool calls told in words" in adapted
    assert '[Tool call c2: weather({"city": "Oslo"})]' in json.dumps(
        document["messages"][1]
    ).replace('\\"', '"')
    assert {"text": "[Result of the tool call c2]"} in document["messages"][2]["content"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [("", {}), ("{}", {}), ("nonsense", {"arguments": "nonsense"}), ("[1]", {"arguments": "[1]"})],
)
def test_arguments_of_any_kind_are_read(arguments: str, expected: JsonObject) -> None:
    document, _ = sent(
        user("x"),
        {"role": "assistant", "content": None, "tool_calls": [call("c", "clock", arguments)]},
        result("c"),
        tools=[CLOCK],
    )
    assert document["messages"][1]["content"][0]["toolUse"]["input"] == expected


def test_names_of_tools_that_converse_refuses() -> None:
    tool = {"type": "function", "function": {"name": "wetter.jetzt", "description": " "}}
    document, adapted = sent(
        user("x"),
        tools=[tool],
        tool_choice={"type": "function", "function": {"name": "wetter.jetzt"}},
    )
    name = document["toolConfig"]["tools"][0]["toolSpec"]["name"]
    assert name.startswith("wetter_jetzt_")
    assert document["toolConfig"]["toolChoice"] == {"tool": {"name": name}}
    assert "description" not in document["toolConfig"]["tools"][0]["toolSpec"]
    assert adapted == ("tools=renamed",)


def test_a_result_without_a_call_is_refused() -> None:
    assert "tool_call_id" in refusal_of(user("x"), result("c"), tools=[WEATHER])


def test_thinking_goes_back_as_it_came() -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": "sig", "index": 0}
    document, _ = sent(
        user("weather"),
        {
            "role": "assistant",
            "content": None,
            "thinking_blocks": [thinking, {"type": "redacted_thinking", "data": "c2VjcmV0"}],
            "tool_calls": [call("c")],
        },
        result("c"),
        tools=[WEATHER],
    )
    assert document["messages"][1]["content"][:2] == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
        {"reasoningContent": {"redactedContent": "c2VjcmV0"}},
    ]


@pytest.mark.parametrize(
    ("family", "name", "body", "expected", "adapted"),
    [
        ("anthropic", CLAUDE, {"temperature": 1.5}, {"temperature": 1}, "temperature=clamped"),
        ("anthropic", CLAUDE, {"max_completion_tokens": 5, "max_tokens": 9}, {"maxTokens": 5}, ""),
        (
            "anthropic",
            CLAUDE,
            {"stop": [" ", "x"]},
            {"stopSequences": ["x"]},
            "stop=blank texts dropped",
        ),
        ("cohere", "command-r-v1:0", {"stop": [" "]}, {"stopSequences": [" "]}, ""),
        ("anthropic", CLAUDE, {"seed": 1}, None, "seed=dropped"),
        ("anthropic", CLAUDE, {"user": "u", "n": 1, "logprobs": False}, None, "user=dropped"),
        ("anthropic", CLAUDE, {"reasoning_effort": "none"}, None, "reasoning_effort=dropped"),
    ],
)
def test_parameters(
    family: str, name: str, body: dict[str, Any], expected: object, adapted: str
) -> None:
    document, found = sent(user("x"), family=family, name=name, **body)
    assert document.get("inferenceConfig") == expected
    assert found == ((adapted,) if adapted else ())
    assert "additionalModelRequestFields" not in document


@pytest.mark.parametrize(
    ("family", "name", "body", "expected"),
    [
        ("anthropic", CLAUDE, {"top_k": 5}, {"top_k": 5}),
        ("cohere", "command-r-v1:0", {"top_k": 5, "seed": 1}, {"k": 5, "seed": 1}),
        ("cohere", "command-r-v1:0", {"presence_penalty": 0.5}, {"presence_penalty": 0.5}),
        ("amazon", "nova-lite-v1:0", {"top_k": 5}, {"inferenceConfig": {"topK": 5}}),
        ("meta", "llama3-8b-instruct-v1:0", {"whatever": [1]}, {"whatever": [1]}),
        (
            "anthropic",
            CLAUDE,
            {"top_k": 5, "additionalModelRequestFields": {"top_k": 6, "x": 1}},
            {"top_k": 6, "x": 1},
        ),
    ],
)
def test_parameters_of_the_model_pass(
    family: str, name: str, body: dict[str, Any], expected: JsonObject
) -> None:
    document, _ = sent(user("x"), family=family, name=name, **body)
    assert document["additionalModelRequestFields"] == expected


def test_parameters_of_converse_pass() -> None:
    guard = {"guardrailIdentifier": "abc", "guardrailVersion": "1"}
    document, _ = sent(user("x"), guardrailConfig=guard, performanceConfig={"latency": "optimized"})
    assert document["guardrailConfig"] == guard
    assert document["performanceConfig"] == {"latency": "optimized"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2),
        ("n", True),
        ("logprobs", True),
        ("top_logprobs", 1),
        ("logit_bias", {"1": 1}),
        ("frequency_penalty", 0.5),
        ("presence_penalty", 0.5),
        ("reasoning_effort", "high"),
        ("response_format", {"type": "json_object"}),
        ("functions", [{"name": "f"}]),
        ("stop", 5),
        ("tools", "x"),
    ],
)
def test_parameters_without_a_counterpart_are_refused(name: str, value: object) -> None:
    body: dict[str, Any] = {name: value}
    assert name in refusal_of(user("x"), **body)


SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "a", "schema": {"type": "object", "properties": {"a": {}}}},
}


def test_a_schema_becomes_the_one_tool() -> None:
    document, adapted = sent(user("x"), response_format=SCHEMA)
    (tool,) = document["toolConfig"]["tools"]
    assert tool["toolSpec"]["inputSchema"]["json"] == {"type": "object", "properties": {"a": {}}}
    assert document["toolConfig"]["toolChoice"] == {"tool": {"name": tool["toolSpec"]["name"]}}
    assert adapted == ("response_format=emulated with a tool",)
    assert "leave out" in refusal_of(user("x"), response_format=SCHEMA, tools=[WEATHER])
    assert "leave out" in refusal_of(user("x"), response_format=SCHEMA, family="meta")


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
    assert choice["stop_reason"] == "guardrail_intervened"
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
    assert choice.get("stop_reason") == (None if plain else reason)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b'{"stopReason": "malformed_model_output"}', ProviderFailed),
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
        ("modelStreamErrorException", ProviderFailed),
        ("internalServerException", ProviderFailed),
        ("validationException", RequestRefused),
        ("unheardOf", ProviderFailed),
    ],
)
def test_an_exception_inside_a_stream(kind: str, expected: type[AdapterError]) -> None:
    said = frames.exception(kind, {"message": f"no {KEY.secret}"})
    with pytest.raises(expected) as refused:
        parsed(iter([*EVENTS[:2], said]))
    assert type(refused.value) is expected
    assert refused.value.detail == {"message": "no [redacted]"}


def test_an_error_of_the_front_door_inside_a_stream() -> None:
    with pytest.raises(ProviderFailed) as refused:
        parsed(iter([EVENTS[0], frames.error("InternalFailure", "oops")]))
    assert refused.value.detail == "oops"


def shown(kind: str) -> dict[str, str]:
    return {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/"}


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (400, shown("ValidationException"), {}, RequestRefused),
        (400, shown("ServiceQuotaExceededException"), {}, QuotaExhausted),
        (400, shown("IncompleteSignatureException"), {}, CredentialRefused),
        (403, shown("AccessDeniedException"), {}, CredentialRefused),
        (403, shown("UnrecognizedClientException"), {}, CredentialRefused),
        (404, shown("ResourceNotFoundException"), {}, ModelNotFound),
        (408, shown("ModelTimeoutException"), {}, ProviderTimeout),
        (424, shown("ModelErrorException"), {}, ProviderFailed),
        (424, {}, {}, ProviderFailed),
        (429, shown("ThrottlingException"), {}, RateLimited),
        (429, shown("ModelNotReadyException"), {}, ProviderUnavailable),
        (500, shown("InternalServerException"), {}, ProviderFailed),
        (503, shown("ServiceUnavailableException"), {}, ProviderUnavailable),
        (400, {}, {"__type": "com.amazon.coral#ThrottlingException"}, RateLimited),
        (400, {}, {"code": "ExpiredTokenException"}, CredentialRefused),
        (429, {}, {}, RateLimited),
    ],
)
def test_errors_by_their_type(
    status: int, headers: dict[str, str], body: JsonObject, expected: type[AdapterError]
) -> None:
    said = json.dumps({"message": "no", **body}).encode()
    error = adapter().parse_error(HttpAnswer(status, headers, said))
    assert type(error) is expected
    assert isinstance(error.detail, dict)
    assert error.detail["message"] == "no"


def test_a_refused_signature_does_not_repeat_the_request() -> None:
    said = {"message": "No match.\n\nCanonical String:\nx-amz-security-token:secret"}
    answer = HttpAnswer(403, shown("InvalidSignatureException"), json.dumps(said).encode())
    assert adapter().parse_error(answer).detail == {"message": "No match."}


def botocore_signature(request: HttpRequest, key: AwsKey, now: float) -> Mapping[str, str]:
    time = sign(request, key, "eu-west-1", now).headers["x-amz-date"]
    headers = {**request.headers, "x-amz-date": time}
    if key.session_token:
        headers["x-amz-security-token"] = key.session_token
    theirs = AWSRequest(request.method, request.url, headers, request.body)
    theirs.context["timestamp"] = time
    credentials = Credentials(key.access_key_id, key.secret_access_key, key.session_token)
    signer = SigV4Auth(credentials, "bedrock", "eu-west-1")
    canonical = signer.canonical_request(theirs)
    signature = signer.signature(signer.string_to_sign(theirs, canonical), theirs)
    signer._inject_signature_to_request(theirs, signature)
    return {name.lower(): value for name, value in theirs.headers.items()}


@given(
    st.text(min_size=1, max_size=40),
    st.binary(max_size=50),
    st.floats(0, 4e9),
    st.sampled_from(["", "token+/="]),
)
def test_signatures_equal_botocores(model: str, body: bytes, now: float, token: str) -> None:
    request = HttpRequest(
        "p", build_url("eu-west-1", model, "converse"), {"content-type": "a  b"}, body
    )
    key = AwsKey("AKID", "secret/+", token)
    assert dict(sign(request, key, "eu-west-1", now).headers) == botocore_signature(
        request, key, now
    )


@pytest.mark.parametrize("name", ["a:b", "arn:aws:bedrock:us-east-1::foundation-model/x.y"])
def test_a_signed_request_is_accepted(name: str) -> None:
    own = adapter(name)
    (request,) = own.plan(Query({"messages": [user("x")]}, stream=False), {}).requests
    signed = own.authorize(request, NO_CREDENTIAL, NOW)
    headers = {**signed.headers, "host": HOST}
    check_signature({KEY.key_id: KEY}, "us-east-1", signed.url, headers, signed.body, NOW)
    assert KEY.secret not in repr(signed) + str(signed.headers)
    assert KEY.secret not in repr(AwsKey(KEY.key_id, KEY.secret))


@pytest.mark.parametrize(
    ("name", "family", "expected"),
    [
        ("claude-v2", "anthropic", "anthropic.claude-v2"),
        ("claude-v2:1", "anthropic", "anthropic.claude-v2:1"),
        ("titan-embed-text-v1", "amazon", "amazon.titan-embed-text-v1"),
        ("j2-mid", "ai21labs", "ai21.j2-mid"),
        ("command-r-v1:0", "cohere", "cohere.command-r-v1:0"),
        ("llama3-8b-instruct-v1:0", "meta", "meta.llama3-8b-instruct-v1:0"),
        ("anthropic.claude-v2", "anthropic", "anthropic.claude-v2"),
        ("us.anthropic.claude-x-v1:0", "anthropic", "us.anthropic.claude-x-v1:0"),
        ("us-gov.anthropic.claude-x", "anthropic", "us-gov.anthropic.claude-x"),
        ("arn:aws:bedrock:x:1:y/z", "anthropic", "arn:aws:bedrock:x:1:y/z"),
    ],
)
def test_names_of_models(name: str, family: str, expected: str) -> None:
    assert build_model_id(name, family) == expected


def test_regions() -> None:
    assert read_region(" US-East-1 ") == "us-east-1"
    assert build_url("cn-north-1", "a.b", "invoke").startswith(
        "https://bedrock-runtime.cn-north-1.amazonaws.com.cn/"
    )
    for region in ("us-east-1.evil.test/", "", "east"):
        with pytest.raises(ConfigRefused, match="aws_region"):
            read_region(region)


def configured(change: Callable[[AmazonBedrockConfig], None], task: str = "chat") -> ExternalModel:
    model = external_model(CLAUDE, "anthropic", task)
    change(model.amazon_bedrock_config)
    return model


@pytest.mark.parametrize(
    ("fields", "task", "words"),
    [
        ({"bedrock_provider": "acme"}, "chat", "bedrock_provider"),
        ({"aws_region": "x"}, "chat", "aws_region"),
        ({"aws_access_key_id_plaintext": ""}, "chat", "aws_access_key_id has no value"),
        ({"aws_secret_access_key_plaintext": " "}, "chat", "aws_secret_access_key has no value"),
        ({"aws_secret_access_key_plaintext": "a b"}, "chat", "cannot carry"),
        ({"instance_profile_arn": "arn:x"}, "chat", "instance_profile_arn"),
        (
            {"instance_profile_arn": "arn:aws:iam::123456789012:instance-profile/p"},
            "chat",
            "either",
        ),
        ({}, "embeddings", "not served"),
    ],
)
def test_configurations_that_cannot_work(fields: dict[str, str], task: str, words: str) -> None:
    def change(config: AmazonBedrockConfig) -> None:
        for name, value in fields.items():
            setattr(config, name, value)

    with pytest.raises(ConfigRefused, match=words) as refused:
        build_amazon_bedrock_adapter(configured(change, task))
    assert KEY.secret not in str(refused.value)


def test_a_session_token_is_sent() -> None:
    def change(config: AmazonBedrockConfig) -> None:
        config.aws_access_key_id_plaintext = TEMPORARY_KEY.key_id
        config.aws_secret_access_key_plaintext = f"{TEMPORARY_KEY.secret}\n"
        config.aws_session_token_plaintext = TEMPORARY_KEY.token

    own = build_amazon_bedrock_adapter(configured(change))
    (request,) = own.plan(Query({"messages": [user("x")]}, stream=False), {}).requests
    signed = own.authorize(request, NO_CREDENTIAL, NOW)
    keys = {TEMPORARY_KEY.key_id: TEMPORARY_KEY}
    headers = {**signed.headers, "host": HOST}
    check_signature(keys, "us-east-1", signed.url, headers, signed.body, NOW)


async def test_a_chat_through_the_data_plane() -> None:
    case = next(case for case in CASES if case.variant == CLAUDE)
    async with open_gateway(case) as gateway:
        whole = await gateway.ask(stream=False, temperature=1.5)
        streamed = await gateway.ask(stream=True, temperature=1.5)
    assert whole.metadata["x-modelplane-adapted-params"] == "temperature=clamped"
    assert read_choices(whole.document) == reassemble(streamed.chunks)
    assert whole.document["choices"][0]["message"]["content"].endswith("heard: one two three")
