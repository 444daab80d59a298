"""JSON that is valid and makes no sense: what has the wrong type, or no end of depth."""

import json
from typing import Any

import pytest

from modelplane.adapters.providers.errors import AdapterError, MalformedAnswer, RequestRefused
from modelplane.adapters.providers.registry import build_adapter
from modelplane.adapters.providers.types import HttpAnswer, JsonObject, Query
from tests.adapters.providers.amazon_bedrock.chats import CLAUDE
from tests.adapters.providers.conformance import CASES, ProviderCase
from tests.emulators.amazon_bedrock import frames

CHATS = [case for case in CASES if case.task == "llm/v1/chat"]
STREAMS = [
    case for case in CASES if case.streams and case.error_event and case.task != "llm/v1/embeddings"
]
each_chat = pytest.mark.parametrize("case", CHATS, ids=lambda case: case.name)


def nested(depth: int, name: str = "items") -> Any:
    """Return an object that holds itself so many times."""
    value: Any = {}
    for _ in range(depth):
        value = {name: value}
    return value


def called(**call: object) -> list[Any]:
    function = {"name": "f", **call}
    return [{"role": "assistant", "tool_calls": [{"id": "a", "function": function}]}]


def tool(parameters: object) -> JsonObject:
    return {"type": "function", "function": {"name": "f", "parameters": parameters}}


@each_chat
@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": [], "content": "x"}]},
        {"messages": [{"role": {}, "content": "x"}]},
        {"messages": called(arguments=nested(400))},
        {"messages": called(arguments=json.dumps(nested(400)))},
        {"tools": [tool(nested(400))]},
        {"tools": [tool(nested(900))]},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": nested(900)},
            }
        },
        {"reasoning_effort": []},
        {"reasoning_effort": {"a": 1}},
        {"messages": [{"role": "assistant", "content": "x", "thinking_blocks": [{"type": []}]}]},
    ],
    ids=range(10),
)
def test_a_query_is_put_or_refused(case: ProviderCase, body: JsonObject) -> None:
    adapter = build_adapter(case.model("http://127.0.0.1:1"))
    asked: JsonObject = {"messages": [{"role": "user", "content": "x"}]}
    refused: object = None
    requests: object = None
    try:
        requests = adapter.plan(Query(asked | body, stream=False), {}).requests
    except RequestRefused as error:
        refused = error.detail
    assert requests or refused


def test_arguments_of_any_depth_are_read() -> None:
    case = next(case for case in CHATS if case.variant == CLAUDE)
    adapter = build_adapter(case.model(""))
    query = Query({"messages": [{"role": "user", "content": "x"}]}, stream=False)
    use = {"toolUse": {"toolUseId": "a", "name": "f", "input": nested(400)}}
    said = {"stopReason": "tool_use", "output": {"message": {"content": [use]}}}
    with pytest.raises(MalformedAnswer):
        adapter.parse_answers(query, (HttpAnswer(200, {}, json.dumps(said).encode()),))


@pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.name)
@pytest.mark.parametrize("said", [{"error": nested(400)}, {"type": "error", **nested(400)}])
def test_an_error_of_any_depth_is_one(case: ProviderCase, said: JsonObject) -> None:
    adapter = build_adapter(case.model("http://127.0.0.1:1"))
    parser = adapter.stream_parser(Query(case.body, stream=True))
    raw = json.dumps(said).encode()
    data = b"data: " + raw + b"\n\n"
    if case.provider == "amazon-bedrock":
        data = frames.exception("internalServerException", said)
    elif case.provider == "cohere" and case.task == "llm/v1/completions":
        data = raw + b"\n"
    with pytest.raises(AdapterError):
        list(parser.feed(data))
        list(parser.finish())
