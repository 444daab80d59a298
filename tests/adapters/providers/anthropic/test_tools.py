"""Tools, their choice and the calls of earlier turns, as the Messages API takes them."""

import json

import pytest

from modelplane.adapters.providers import errors
from modelplane.adapters.providers.types import HttpAnswer, Query
from tests.adapters.providers.anthropic.test_parameters import nested
from tests.adapters.providers.anthropic.test_provider import (
    CITY,
    WEATHER,
    assistant,
    build,
    call,
    chat,
    message,
    parse,
    plan,
    sent,
    tool,
    user,
)


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


def test_arguments_that_are_nested_too_deeply() -> None:
    use = {"type": "tool_use", "id": "t", "name": "f", "input": nested(300)}
    raw = json.dumps(message([use], "tool_use")).encode()
    with pytest.raises(errors.MalformedAnswer):
        build().parse_answers(Query({}, stream=False), (HttpAnswer(200, {}, raw),))
