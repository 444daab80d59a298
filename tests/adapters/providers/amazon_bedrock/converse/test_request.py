"""What Bedrock's Converse is sent, checked as AWS would check it."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from modelplane.adapters.providers.amazon_bedrock.models import build_model_id
from modelplane.adapters.providers.errors import (
    RequestRefused,
)
from modelplane.adapters.providers.types import Image, JsonObject, Query
from tests.adapters.providers.amazon_bedrock.chats import (
    CLAUDE,
    CLOCK,
    HOST,
    SCHEMA,
    WEATHER,
    WEATHER_SPEC,
    adapter,
    user,
)
from tests.emulators.amazon_bedrock.converse_rules import check_conversation
from tests.emulators.amazon_bedrock.models import find
from tests.emulators.amazon_bedrock.schema import check_body

PNG = base64.b64encode(b"\x89PNG\r\n").decode()


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
    check_conversation(document, model_id, find(model_id))
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
    assert adapted == ("messages=blank texts left out", "messages=system moved to the front")


def test_a_model_without_system_messages_is_told_by_the_user() -> None:
    messages: list[JsonObject] = [
        {"role": "system", "content": "S"},
        {"role": "assistant", "content": "Hello"},
    ]
    document, adapted = sent(*messages, user("a"), name="claude-v2")
    assert document["messages"] == [
        {"role": "user", "content": [{"text": "S"}]},
        {"role": "assistant", "content": [{"text": "Hello"}]},
        {"role": "user", "content": [{"text": "a"}]},
    ]
    assert "system" not in document
    assert adapted == ("messages=system told by the user",)
    assert "system" in sent(*messages[:1], user("a"), name="claude-v2:1")[0]


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


def test_a_schema_becomes_the_one_tool() -> None:
    document, adapted = sent(user("x"), response_format=SCHEMA)
    (tool,) = document["toolConfig"]["tools"]
    assert tool["toolSpec"]["inputSchema"]["json"] == {"type": "object", "properties": {"a": {}}}
    assert document["toolConfig"]["toolChoice"] == {"tool": {"name": tool["toolSpec"]["name"]}}
    assert adapted == ("response_format=emulated with a tool",)
    assert "leave out" in refusal_of(user("x"), response_format=SCHEMA, tools=[WEATHER])
    assert "leave out" in refusal_of(user("x"), response_format=SCHEMA, family="meta")
