"""Which parameters the Messages API takes, which are adapted, and which are refused."""

import json

import pytest

from modelplane.adapters.providers import errors
from modelplane.adapters.providers.types import JsonObject
from tests.adapters.providers.anthropic.test_provider import (
    MODEL,
    WEATHER,
    chat,
    plan,
    sent,
    tool,
    user,
)

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
