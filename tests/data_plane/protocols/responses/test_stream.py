"""Streams of the Responses API: in the order that clients rely on, whatever the provider's is."""

import json
from typing import Any

import pytest
from hypothesis import given
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from modelplane.adapters.providers.canonical.forms import add_up
from modelplane.data_plane.errors import EndpointNotFound, refusal_of
from modelplane.data_plane.protocols.responses.answer import (
    Asked,
    build_response,
    repeated_fields,
)
from modelplane.data_plane.protocols.responses.stream import ResponseStream
from modelplane.data_plane.protocols.thoughts import unseal
from tests.data_plane.protocols.upstream import Answer, Json, answers, arriving, events_of

ASKED = Asked(repeated_fields({"model": "talk"}), {"write"}, sealed=True)
_EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


def written(answer: Answer) -> list[dict[str, Any]]:
    stream = ResponseStream(ASKED)
    raw = b"".join(map(stream.chunk, arriving(answer))) + stream.finish()
    return events_of(raw)


GIVEN_IDS = {"call_0", "call_1", "call_2"}


def plain(items: list[Json]) -> list[Json]:
    """Return items without what is made anew for each."""
    return [
        {name: value for name, value in item.items() if name != "id" and not is_made(name, value)}
        for item in items
    ]


def is_made(name: str, value: object) -> bool:
    return name == "call_id" and value not in GIVEN_IDS


@given(answers())
def test_a_stream_says_what_the_whole_answer_says(answer: Answer) -> None:
    streamed = written(answer)[-1]["response"]
    whole: Json = build_response(add_up("p", [dict(chunk) for chunk in answer.chunks]), ASKED)
    assert streamed["usage"] == whole["usage"]
    assert streamed["usage"]["input_tokens_details"] == {
        "cached_tokens": 4,
        "cache_write_tokens": 0,
    }
    assert (streamed["status"], streamed["incomplete_details"]) == (
        whole["status"],
        whole["incomplete_details"],
    )
    said = [item for item in whole["output"] if answer.text or item["type"] != "message"]
    assert plain(streamed["output"]) == plain(said)
    calls = [item for item in streamed["output"] if "call" in item["type"]]
    assert len(calls) == len(answer.calls)
    for item, call in zip(calls, answer.calls, strict=True):
        assert (item["type"] == "custom_tool_call") == (call.name == "write")
        if "arguments" in item:
            assert json.loads(item["arguments"]) == json.loads(call.arguments or "{}")
    if answer.signature:
        (block,) = unseal(streamed["output"][0]["encrypted_content"])
        assert (block["thinking"], block["signature"]) == (answer.thought, answer.signature)


@pytest.mark.parametrize("chunks", [0, 2])
def test_a_stream_that_breaks_off_says_why(chunks: int) -> None:
    stream = ResponseStream(ASKED)
    for chunk in [{"id": "a", "choices": [{"delta": {"content": "b"}}]}] * chunks:
        stream.chunk(dict(chunk))
    event = events_of(stream.fail(refusal_of(EndpointNotFound(), "r-1")))[-1]
    assert event["type"] == "response.failed"
    assert event["response"]["error"]["code"] == "endpoint_not_found"
