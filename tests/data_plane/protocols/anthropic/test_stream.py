"""Streams of the Messages API: in the order that clients rely on, whatever the provider's is."""

from typing import Any

from anthropic.types import RawMessageStreamEvent
from hypothesis import given
from pydantic import TypeAdapter

from modelplane.adapters.providers.canonical.forms import add_up
from modelplane.data_plane.errors import EndpointNotFound, refusal_of
from modelplane.data_plane.protocols.anthropic.answer import build_message
from modelplane.data_plane.protocols.anthropic.stream import MessageStream
from tests.data_plane.protocols.upstream import Answer, answers, arriving, events_of

_DELTAS = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
    "input_json_delta": "tool_use",
}
_EVENT: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)


def written(answer: Answer, input_tokens: int = 3) -> list[dict[str, Any]]:
    stream = MessageStream(input_tokens)
    raw = b"".join(map(stream.chunk, arriving(answer))) + stream.finish()
    return events_of(raw)


def blocks_of(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the blocks that events make, none of which overlaps another."""
    blocks: list[dict[str, Any]] = []
    is_open = False
    for event in events:
        if event["type"] == "content_block_start":
            assert not is_open
            assert event["index"] == len(blocks)
            is_open = True
            blocks.append({**event["content_block"], "json": ""})
            continue
        assert is_open
        assert event["index"] == len(blocks) - 1
        if event["type"] == "content_block_stop":
            is_open = False
        else:
            grow(blocks[-1], event["delta"])
    assert not is_open
    return blocks


def grow(block: dict[str, Any], delta: dict[str, Any]) -> None:
    assert _DELTAS[delta["type"]] == block["type"]
    if delta["type"] == "input_json_delta":
        block["json"] += delta["partial_json"]
    elif delta["type"] == "signature_delta":
        block["signature"] = delta["signature"]
    else:
        block[block["type"]] += delta[block["type"]]


@given(answers())
def test_blocks_never_overlap_and_add_up_to_the_answer(answer: Answer) -> None:
    events = written(answer)
    for event in events:
        _EVENT.validate_python(event)
    kinds = [event["type"] for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds.count("message_start") == kinds.count("message_delta") == 1
    assert events[0]["message"]["usage"]["input_tokens"] > 0
    blocks = blocks_of(events[1:-2])
    for kind, whole in (("thinking", answer.thought), ("text", answer.text)):
        assert "".join(block[kind] for block in blocks if block["type"] == kind) == whole
    called = [block for block in blocks if block["type"] == "tool_use"]
    assert [(block["name"], block["json"]) for block in called] == [
        (call.name, call.arguments) for call in answer.calls
    ]
    assert all(block["id"] for block in called)
    assert [block["signature"] for block in blocks if block.get("signature")] == (
        [answer.signature] if answer.signature else []
    )


@given(answers())
def test_a_stream_says_what_the_whole_answer_says(answer: Answer) -> None:
    last = written(answer)[-2]
    whole = build_message(add_up("p", [dict(chunk) for chunk in answer.chunks]))
    assert last["delta"]["stop_reason"] == whole["stop_reason"]
    assert last["usage"] == whole["usage"]
    assert last["usage"] == {
        "input_tokens": 5,
        "output_tokens": 5,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
    }


def test_a_stream_that_breaks_off_says_why() -> None:
    (event,) = events_of(MessageStream(1).fail(refusal_of(EndpointNotFound(), "r-1")))
    assert (event["type"], event["error"]["type"]) == ("error", "not_found_error")
