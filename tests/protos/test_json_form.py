"""Bodies for OpenAI's API are requests in protobuf's own JSON form, where the names agree."""

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from modelserving.v1.chat_pb2 import (
    ChatMessage,
    ChatRequest,
    Function,
    JsonSchema,
    ResponseFormat,
    Tool,
)
from modelserving.v1.completion_pb2 import CompletionRequest
from modelserving.v1.embedding_pb2 import EmbeddingRequest

SCHEMA = {"type": "object", "properties": {"where": {"type": "string"}}}


def test_a_chat() -> None:
    body = {
        "model": "chat",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is a gateway?"},
        ],
        "max_tokens": 64,
        "temperature": 0.5,
        "stop": ["."],
        "tools": [{"type": "function", "function": {"name": "find", "parameters": SCHEMA}}],
        "tool_choice": "auto",
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
        "stream_options": {"include_usage": True},
    }
    request = json_format.ParseDict(body, ChatRequest())
    tool = Tool(type="function", function=Function(name="find"))
    json_format.ParseDict(SCHEMA, tool.function.parameters_object)
    answer = ResponseFormat(type="json_schema", json_schema=JsonSchema(name="x"))
    json_format.ParseDict(SCHEMA, answer.json_schema.schema_object)
    expected = ChatRequest(
        model="chat",
        messages=[
            ChatMessage(role="system", text="Be brief."),
            ChatMessage(role="user", text="What is a gateway?"),
        ],
        max_tokens=64,
        temperature=0.5,
        stop=["."],
        tools=[tool],
        tool_mode="auto",
        response_format=answer,
    )
    expected.stream_options.include_usage = True
    assert request == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"model": "m", "prompt": "Hi"}, CompletionRequest(model="m", text="Hi")),
        ({"model": "m", "input": "Hi"}, EmbeddingRequest(model="m", text="Hi")),
        # The names of the protos do as well.
        ({"model": "m", "text": "Hi"}, EmbeddingRequest(model="m", text="Hi")),
    ],
)
def test_a_text(body: dict[str, object], expected: Message) -> None:
    assert json_format.ParseDict(body, type(expected)()) == expected
