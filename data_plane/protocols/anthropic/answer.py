"""Writes canonical answers as messages of the Messages API, whole; pure.

API: https://docs.anthropic.com/en/api/messages. `stream.py` writes streams.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from modelplane.adapters.providers.canonical.json_values import as_object, as_objects, as_text
from modelplane.adapters.providers.types import JsonObject, Usage, as_count, parse_usage
from modelplane.adapters.shared.rpc.status import shorten
from modelplane.data_plane.errors import Refusal
from modelplane.data_plane.protocols.reading import parse_input, text_of

_STOP_REASONS: Mapping[object, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
# https://docs.anthropic.com/en/api/errors
_ERROR_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_CLIENT_ERRORS: Final = range(400, 500)


def build_message(answer: JsonObject) -> JsonObject:
    """Return a whole canonical answer as a message."""
    choice = next(iter(as_objects(answer.get("choices"))), {})
    content = list(_read_content(as_object(choice.get("message"))))
    return build_head(answer) | {
        "content": content,
        "stop_reason": stop_reason_of(choice.get("finish_reason")),
        "usage": build_usage(answer.get("usage")),
    }


def build_head(answer: JsonObject) -> JsonObject:
    """Return a message without content, as a stream begins; `answer` may be a chunk."""
    return {
        "id": answer.get("id") or "msg",
        "type": "message",
        "role": "assistant",
        "model": answer.get("model"),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def stop_reason_of(finish_reason: object) -> str:
    """Return the API's word for a canonical finish reason."""
    # Not by `get` alone: a provider may send what has no hash.
    return _STOP_REASONS.get(str(finish_reason), "end_turn")


def build_usage(usage: object) -> JsonObject:
    """Return a canonical usage as the API has it, where input excludes what was cached."""
    counts = parse_usage({"usage": usage}) or Usage()
    cached = counts.cached_tokens or 0
    written = as_count(as_object(usage).get("cache_creation_input_tokens")) or 0
    return {
        "input_tokens": max((counts.input_tokens or 0) - cached - written, 0),
        "output_tokens": counts.output_tokens or 0,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
    }


def build_error(refusal: Refusal, request_id: str) -> JsonObject:
    """Return the body of a refusal."""
    status = refusal.status.http
    general = "invalid_request_error" if status in _CLIENT_ERRORS else "api_error"
    return {
        "type": "error",
        "error": {"type": _ERROR_TYPES.get(status, general), "message": shorten(refusal.message)},
        "request_id": request_id,
    }


def build_tool_use(call: JsonObject) -> JsonObject:
    """Return a canonical call as a block."""
    function = as_object(call.get("function"))
    return {
        "type": "tool_use",
        "id": as_text(call.get("id")),
        "name": as_text(function.get("name")),
        "input": parse_input(as_text(function.get("arguments"))),
    }


def thinking_blocks_of(message: JsonObject) -> list[JsonObject]:
    """Return what a message thinks, as blocks.

    The thoughts of other models than Claude have no signature.
    """
    if blocks := as_objects(message.get("thinking_blocks")):
        return [{name: value for name, value in one.items() if name != "index"} for one in blocks]
    thought = as_text(message.get("reasoning_content"))
    return [{"type": "thinking", "thinking": thought, "signature": ""}] if thought else []


def _read_content(message: JsonObject) -> Iterator[JsonObject]:
    yield from thinking_blocks_of(message)
    text = text_of(message.get("content")) or as_text(message.get("refusal"))
    if text:
        yield {"type": "text", "text": text}
    yield from map(build_tool_use, as_objects(message.get("tool_calls")))
