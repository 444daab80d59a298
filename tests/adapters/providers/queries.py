"""Canonical queries of every kind that callers send: strategies for `test_properties.py`."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from modelplane.adapters.providers.types import Task

# Surrogates are no text, and JSON that has them never reaches an adapter.
TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)
_SAID = TEXTS.filter(str.strip)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([-1, 0, 1, "", "x", "stop", "1", "[DONE]"])
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
# The parser takes it, the encoder does not.
_DEEP: Any = json.loads("[" * 300 + "]" * 300)
ODD_VALUES: Sequence[Any] = (
    None,
    True,
    -1,
    1,
    1.5,
    2**70,
    "",
    "x",
    "\x80",
    [],
    [[]],
    [None],
    [{}],
    {},
    {"x": []},
    _DEEP,
)
_NAMES = st.sampled_from(["get_weather", "clock", "look-up_2", "x" * 64])
_SCHEMAS = st.sampled_from(
    [
        None,
        {"type": "object", "properties": {}},
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"city": {"type": "string"}, "n": {"type": ["integer", "null"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/a"}, "b": {"anyOf": [{"type": "string"}]}},
            "$defs": {"a": {"type": "array", "items": {"type": "number"}}},
        },
    ]
)
_ARGUMENTS = st.sampled_from(["", "{}", '{"city": "Oslo"}', "not JSON", "[1]", "null"])
_RESULTS = st.sampled_from(["", "sunny", '{"rain": 1}', "[1, 2]", '{"$ref": "#/a"}', "{"])
_SHARED = {
    "temperature": st.sampled_from([0, 0.0, 0.5, 1]),
    "top_p": st.sampled_from([0.1, 0.9, 1]),
    "max_tokens": st.integers(1, 40),
    "stop": st.sampled_from(["zzz", ["zzz"], ["zzz", "qqq"]]),
    "seed": st.integers(0, 2**31),
    "n": st.sampled_from([1, 2]),
    "user": st.just("someone"),
    "presence_penalty": st.sampled_from([0, 0.5]),
    "frequency_penalty": st.sampled_from([0, 0.5]),
}
_CHAT_ONLY = {
    "response_format": st.sampled_from([{"type": "text"}, {"type": "json_object"}]),
    "max_completion_tokens": st.integers(1, 40),
    "logprobs": st.booleans(),
    "metadata": st.just({"a": "b"}),
    "parallel_tool_calls": st.booleans(),
}
# Parameters of OpenAI's API, of other providers', and one that nobody knows, each asking for
# something.
PARAMETERS: Sequence[tuple[str, Any]] = (
    ("temperature", 0.25),
    ("top_p", 0.25),
    ("top_k", 3),
    ("n", 3),
    ("max_tokens", 7),
    ("stop", ["zzz"]),
    ("seed", 3),
    ("presence_penalty", 0.25),
    ("frequency_penalty", 0.25),
    ("logit_bias", {"1": 2}),
    ("logprobs", 1),
    ("logprobs", True),
    ("max_completion_tokens", 7),
    ("response_format", {"type": "json_object"}),
    (
        "response_format",
        {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
    ),
    ("reasoning_effort", "low"),
    ("verbosity", "low"),
    ("modalities", ["text", "audio"]),
    ("audio", {"voice": "a", "format": "wav"}),
    ("prediction", {"type": "content", "content": "a"}),
    ("web_search_options", {}),
    ("functions", [{"name": "f"}]),
    ("function_call", {"name": "f"}),
    ("user", "someone"),
    ("metadata", {"a": "b"}),
    ("store", True),
    ("service_tier", "flex"),
    ("safety_identifier", "a"),
    ("prompt_cache_key", "a"),
    ("parallel_tool_calls", False),
    ("tool_choice", "none"),
    ("tool_choice", "required"),
    ("tool_choice", {"type": "function", "function": {"name": "clock"}}),
    ("suffix", "a"),
    ("echo", True),
    ("best_of", 3),
    ("dimensions", 3),
    ("encoding_format", "base64"),
    ("a_new_parameter", {"a": 1}),
)


@st.composite
def bodies(draw: st.DrawFn, task: str) -> dict[str, Any]:
    """Draw the body of a query."""
    if task == Task.CHAT:
        return draw(_chats())
    if task == Task.EMBEDDINGS:
        inputs = _SAID | st.lists(_SAID, min_size=1, max_size=4)
        return {"input": draw(inputs), **draw(_some({"user": st.just("someone")}))}
    prompts = _SAID | st.lists(_SAID, min_size=1, max_size=2)
    return {"prompt": draw(prompts), **draw(_some(_SHARED))}


@st.composite
def _chats(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(_NAMES, max_size=3, unique=True))
    messages = []
    if draw(st.booleans()):
        messages.append(
            {"role": draw(st.sampled_from(["system", "developer"])), "content": "short"}
        )
    for _ in range(draw(st.integers(0, 2))):
        messages.append(_user(draw))
        messages += _answered(draw, names, len(messages))
    messages.append(_user(draw))
    body = {"messages": messages, **draw(_some({**_SHARED, **_CHAT_ONLY}))}
    if names:
        body["tools"] = [_tool(draw, name) for name in names]
        choice = draw(st.sampled_from(["", "auto", "none", "required", names[0]]))
        named = {"type": "function", "function": {"name": choice}}
        if choice:
            body["tool_choice"] = named if choice in names else choice
    return body


def _user(draw: st.DrawFn) -> dict[str, Any]:
    content: Any = draw(_SAID)
    if draw(st.booleans()):
        content = [{"type": "text", "text": content}, {"type": "text", "text": "more"}]
    return {"role": "user", "content": content}


def _answered(draw: st.DrawFn, names: list[str], turn: int) -> list[dict[str, Any]]:
    """Draw an earlier answer, with the results of its calls; calls may be the same."""
    called = draw(st.lists(st.sampled_from(names), max_size=2)) if names else []
    arguments = draw(_ARGUMENTS)
    calls = [
        {
            "id": f"call_{turn}_{index}",
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        for index, name in enumerate(called)
    ]
    if not calls:
        return [{"role": "assistant", "content": draw(_SAID)}]
    said = draw(st.none() | st.just("") | _SAID)
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": draw(_RESULTS)} for call in calls
    ]
    return [{"role": "assistant", "content": said, "tool_calls": calls}, *results]


def _tool(draw: st.DrawFn, name: str) -> dict[str, Any]:
    function: dict[str, Any] = {"name": name}
    if (schema := draw(_SCHEMAS)) is not None:
        function["parameters"] = json.loads(json.dumps(schema))
    if draw(st.booleans()):
        function["description"] = "Does it."
    return {"type": "function", "function": function}


def _some(parameters: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=parameters)
