"""Streams in one piece: that of any answer is the answer."""

import json
from typing import Any

from hypothesis import given

from modelplane.data_plane.payloads.merging import ChunkMerger
from modelplane.data_plane.payloads.native_merging import EventMerger
from tests.data_plane.protocols.upstream import USAGE, Answer, answers

Json = dict[str, Any]


def merge(chunks: list[Json]) -> Any:
    merger = ChunkMerger()
    for chunk in chunks:
        merger.add(chunk)
    return json.loads(json.dumps(merger.finish(), default=lambda one: json.loads(bytes(one))))


@given(answer=answers())
def test_chunks_make_the_answer(answer: Answer) -> None:
    merged = merge(answer.chunks)
    assert merged["object"] == "chat.completion"
    assert merged["usage"] == USAGE
    [choice] = merged["choices"]
    assert (choice["index"], choice["finish_reason"]) == (0, answer.finish_reason)
    message = choice["message"]
    assert message["role"] == "assistant"
    assert message["content"] == answer.text
    assert message.get("reasoning_content", "") == answer.thought
    calls = [call["function"] for call in message.get("tool_calls", ())]
    assert [(call["name"], call.get("arguments", "")) for call in calls] == [
        (call.name, call.arguments) for call in answer.calls
    ]


def test_choices_are_told_apart() -> None:
    chunks = [
        {"object": "text_completion", "choices": [{"index": index, "text": text}]}
        for index, text in ((1, "b"), (0, "a"), (1, "d"), (0, "c"))
    ]
    assert merge(chunks)["choices"] == [{"index": 0, "text": "ac"}, {"index": 1, "text": "bd"}]


def test_the_probabilities_of_all_tokens_are_kept() -> None:
    pieces = [{"content": [{"token": token}]} for token in "ab"]
    chunks = [{"choices": [{"index": 0, "logprobs": piece}]} for piece in pieces]
    assert merge(chunks)["choices"][0]["logprobs"]["content"] == [{"token": "a"}, {"token": "b"}]


def events(*values: Json) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(value).encode() for value in values)


def merge_events(protocol: str, data: bytes, step: int = 7) -> Any:
    merger = EventMerger(protocol)
    for at in range(0, len(data), step):
        merger.feed(data[at : at + step])
    return json.loads(json.dumps(merger.finish()))


def test_events_of_the_messages_api_make_a_message() -> None:
    data = events(
        {"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "b"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "tool_use", "name": "look", "input": {}},
        },
        {
            "type": "content_block_delta",
            "index": 1,
            "delta": {"type": "input_json_delta", "partial_json": '{"a"'},
        },
        {
            "type": "content_block_delta",
            "index": 1,
            "delta": {"type": "input_json_delta", "partial_json": ":1}"},
        },
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output": 2}},
        {"type": "message_stop"},
    )
    assert merge_events("anthropic/v1/messages", data) == {
        "id": "m",
        "content": [
            {"type": "text", "text": "ab"},
            {"type": "tool_use", "name": "look", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input": 1, "output": 2},
    }


def test_the_last_event_of_the_responses_api_is_the_response() -> None:
    begun = {"type": "response.created", "response": {"id": "r", "status": "in_progress"}}
    text = {"type": "response.output_text.delta", "output_index": 0, "delta": "par"}
    whole = {"id": "r", "status": "completed", "output": [{"type": "message"}]}
    ended = {"type": "response.completed", "response": whole}
    assert merge_events("openai/v1/responses", events(begun, text, ended)) == whole
    [partial] = merge_events("openai/v1/responses", events(begun, text))["output"]
    assert partial["content"] == [{"type": "output_text", "text": "par"}]


def test_events_of_gemini_make_an_answer() -> None:
    data = events(
        *(
            {"candidates": [{"content": {"role": "model", "parts": [part]}}]}
            for part in (
                {"text": "hm", "thought": True},
                {"text": "a"},
                {"text": "b"},
                {"functionCall": {"name": "look"}},
            )
        ),
        {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"totalTokenCount": 3}},
    )
    assert merge_events("gemini/v1/generateContent", data) == {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": "hm", "thought": True},
                        {"text": "ab"},
                        {"functionCall": {"name": "look"}},
                    ],
                },
                "finishReason": "STOP",
            }
        ],
        "usageMetadata": {"totalTokenCount": 3},
    }


def test_events_of_another_protocol_are_listed() -> None:
    assert merge_events("other", events({"a": 1}, {"b": 2})) == [{"a": 1}, {"b": 2}]
