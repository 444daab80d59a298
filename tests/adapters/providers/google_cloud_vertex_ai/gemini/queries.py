"""Puts queries to Gemini's adapter, and answers through it; used by the tests beside it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.providers.google_cloud_vertex_ai.provider import build_vertex_adapter
from modelplane.adapters.providers.types import HttpAnswer, Image, Query
from tests.emulators.google_cloud_vertex_ai.external_models import external_model
from tests.emulators.google_cloud_vertex_ai.gemini_schema import check_request

MODEL = "gemini-2.5-flash"
PNG = "data:image/png;base64,aW1n"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Looks",
        "strict": True,
        "parameters": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
NOTHING = {"type": "function", "function": {"name": "do_nothing"}}


def adapter_of(model: str = MODEL, task: str = "llm/v1/chat") -> Adapter:
    return build_vertex_adapter(external_model(model, task), lambda: 5.0)


def user(content: object = "hi") -> dict[str, Any]:
    return {"role": "user", "content": content}


def ask(
    *messages: object, model: str = MODEL, images: Mapping[str, Image] | None = None, **rest: object
) -> dict[str, Any]:
    """Return the body sent, which Google's own types and the emulator's rules accept."""
    query = Query({"model": "endpoint", "messages": [*messages], **rest}, stream=False)
    request = adapter_of(model).plan(query, images or {}).requests[0]
    body: dict[str, Any] = json.loads(request.body)
    check_request(body, model)
    return body


def adapted(*messages: object, model: str = MODEL, **rest: object) -> tuple[str, ...]:
    query = Query({"messages": [*messages], **rest}, stream=False)
    return adapter_of(model).plan(query, {}).adapted


def parse(answer: object, **body: object) -> dict[str, Any]:
    query = Query({"messages": [user()], **body}, stream=False)
    return adapter_of().parse_answers(query, (HttpAnswer(200, {}, json.dumps(answer).encode()),))


def event(response: object) -> bytes:
    return b"data: " + json.dumps(response, ensure_ascii=False).encode() + b"\r\n\r\n"


def stream(*parts: bytes, task: str = "llm/v1/chat", **body: object) -> Iterator[Any]:
    query = Query({"messages": [user()], "prompt": "hi", **body}, stream=True)
    parser = adapter_of(task=task).stream_parser(query)
    for part in parts:
        yield from parser.feed(part)
        assert not parser.ended
    yield from parser.finish()
    assert parser.ended


def candidate(reason: str, *parts: object) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": [*parts]}, "finishReason": reason}]}
