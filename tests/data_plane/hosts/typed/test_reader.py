import base64
import math
import struct
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelserving.v1.chat_pb2 import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatLogprobs,
    ChatMessage,
    ChatRequest,
    Function,
)
from modelserving.v1.completion_pb2 import Completion, CompletionLogprobs
from modelserving.v1.embedding_pb2 import Embedding, EmbeddingList
from modelserving.v1.usage_pb2 import Usage

from modelplane.data_plane.hosts.typed.reader import read
from modelplane.data_plane.hosts.typed.writer import write

ANSWERS = (ChatCompletion, ChatCompletionChunk, Completion, EmbeddingList)
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1.0}'}}


def chat_answer(**message: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "chat",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi", "refusal": None} | message,
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 4,
            "total_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
            "estimated": True,
        },
    }


def test_every_field_of_an_answer_has_its_place() -> None:
    answer = read(ChatCompletion, chat_answer(tool_calls=[CALL], reasoning_content="hm"))
    assert isinstance(answer, ChatCompletion)
    assert (answer.id, answer.object, answer.created) == (
        "chatcmpl-1",
        "chat.completion",
        1_700_000_000,
    )
    [choice] = answer.choices
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert choice.HasField("index")
    assert not choice.HasField("logprobs")
    assert choice.message.text == "hi"
    assert choice.message.reasoning_content == "hm"
    assert not choice.message.HasField("refusal")
    [call] = choice.message.tool_calls
    assert (call.id, call.type, call.function.name) == ("c", "function", "f")
    assert call.function.arguments == '{"a": 1.0}'
    assert not call.HasField("index")
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (3, 4, 7)
    assert usage.prompt_tokens_details.cached_tokens == 1
    assert usage.completion_tokens_details.reasoning_tokens == 2
    assert usage.completion_tokens_details.HasField("audio_tokens")
    assert usage.estimated
    assert not answer.HasField("extra_fields")


def test_deltas_tell_empty_from_absent() -> None:
    body: dict[str, Any] = {
        "choices": [{"index": 1, "delta": {"content": ""}}, {"index": 2, "delta": {}}]
    }
    answer = read(ChatCompletionChunk, body)
    assert isinstance(answer, ChatCompletionChunk)
    first, second = answer.choices
    assert first.delta.HasField("text")
    assert second.HasField("delta")
    assert second.delta.WhichOneof("content_form") is None


def test_content_may_be_parts() -> None:
    parts = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "text", "text": "hi"},
    ]
    message = read(ChatMessage, {"content": parts})
    assert isinstance(message, ChatMessage)
    reasoning, text = message.parts.items
    assert text.text == "hi"
    assert MessageToDict(reasoning.extra_fields) == {
        "summary": [{"type": "summary_text", "text": "hm"}]
    }
    assert write(message) == {"content": parts}


def test_a_schema_is_read_as_a_message() -> None:
    function = read(Function, {"parameters": {"type": "object"}})
    assert isinstance(function, Function)
    assert function.parameters_object["type"] == "object"


def test_log_probabilities() -> None:
    token = {"token": "é", "logprob": -1, "bytes": [195, 169], "top_logprobs": []}
    chat = read(ChatLogprobs, {"content": [token], "refusal": None})
    assert isinstance(chat, ChatLogprobs)
    assert chat.content[0].bytes == "é".encode()
    assert chat.content[0].logprob == -1.0
    body: dict[str, Any] = {
        "tokens": ["a", "b"],
        "token_logprobs": [None, -0.5],
        "top_logprobs": [None, {"b": -0.5}],
        "text_offset": [0, 1],
    }
    text = read(CompletionLogprobs, body)
    assert isinstance(text, CompletionLogprobs)
    assert math.isnan(text.token_logprobs[0])
    assert text.token_logprobs[1] == -0.5
    assert [dict(item.items) for item in text.top_logprobs] == [{}, {"b": -0.5}]
    assert not text.HasField("extra_fields")


def test_embeddings_are_packed_however_they_come() -> None:
    values = [0.5, -1.0, 3]
    encoded = base64.b64encode(struct.pack("<3f", *values)).decode()
    body: dict[str, Any] = {
        "data": [
            {"embedding": values, "index": 0, "object": "embedding"},
            {"embedding": encoded, "index": 1},
            {"embedding": []},
        ]
    }
    answer = read(EmbeddingList, body)
    assert isinstance(answer, EmbeddingList)
    assert [list(item.embedding) for item in answer.data] == [values, values, []]
    assert [item.index for item in answer.data] == [0, 1, 0]
    size = len(read(Embedding, {"embedding": [0.1] * 1000}).SerializeToString())
    assert size == 4000 + 3


@pytest.mark.parametrize(
    "wrong", ["no base64", "YWJj", ["a"], [None], [1e300], {"int8": [1]}, 5, True]
)
def test_other_embeddings_are_extra(wrong: object) -> None:
    item = read(Embedding, {"embedding": wrong})
    assert isinstance(item, Embedding)
    assert not item.embedding
    assert MessageToDict(item.extra_fields) == {"embedding": wrong}


@pytest.mark.parametrize(
    ("message_class", "field", "value"),
    [
        (Usage, "prompt_tokens", "7"),
        (Usage, "prompt_tokens", 7.5),
        (Usage, "prompt_tokens", True),
        (Usage, "prompt_tokens", 2**63),
        (Usage, "estimated", 1),
        (Usage, "prompt_tokens_details", []),
        (Usage, "unheard", {"of": [1, None]}),
        (Usage, "extra_fields", {"a": 1}),
        (ChatMessage, "role", 5),
        (ChatMessage, "content", 5),
        (ChatMessage, "content", ["text"]),
        (ChatMessage, "tool_calls", {"id": "c"}),
        (ChatMessage, "tool_calls", [1]),
        (ChatMessage, "annotations", ["a"]),
        (ChatLogprobs, "content", [{"token": "a"}, 5]),
        (CompletionLogprobs, "top_logprobs", [{"a": "b"}]),
        (CompletionLogprobs, "top_logprobs", 5),
        (CompletionLogprobs, "token_logprobs", ["a"]),
    ],
)
def test_what_does_not_fit_is_kept_beside(
    message_class: type[Message], field: str, value: object
) -> None:
    body = {field: value}
    message: Any = read(message_class, body)
    assert MessageToDict(message.extra_fields)[field] == value
    assert write(message)[field] == value


def test_whole_numbers_may_come_with_a_point() -> None:
    usage = read(Usage, {"prompt_tokens": 7.0})
    assert isinstance(usage, Usage)
    assert usage.prompt_tokens == 7


def test_a_message_without_room_refuses() -> None:
    with pytest.raises(TypeError):
        read(ChatRequest, {"unheard": 1})


NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.sampled_from(
    [
        *("id", "object", "created", "model", "choices", "usage", "data", "index"),
        *("message", "delta", "content", "role", "text", "tool_calls", "function", "name", "type"),
        *("arguments", "logprobs", "token", "bytes", "top_logprobs", "tokens", "token_logprobs"),
        *("annotations", "finish_reason", "prompt_tokens", "prompt_tokens_details", "parts"),
        *("estimated", "unheard", "extra_fields", "items", "url", "image_url"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(ANSWERS), st.dictionaries(NAMES, JSON, max_size=6))
def test_nothing_of_an_answer_is_lost(message_class: type[Message], body: dict[str, Any]) -> None:
    message = read(message_class, body)
    again = message_class.FromString(message.SerializeToString())
    assert loose(write(again)) == loose(body)


def loose(value: Any) -> Any:
    """Return JSON in which null and nothing are absent, and numbers are of single precision."""
    if isinstance(value, dict):
        items = {key: loose(item) for key, item in value.items()}
        return {key: item for key, item in items.items() if item not in (None, [], {})}
    if isinstance(value, list):
        return [loose(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return struct.unpack("<f", struct.pack("<f", value))[0]
        except OverflowError:
            return float(value)
    return None if value.__class__.__name__ == "Fragment" else value
