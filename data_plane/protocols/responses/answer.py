"""Writes canonical answers as responses of the Responses API, whole; pure.

API: https://platform.openai.com/docs/api-reference/responses/object. `stream.py` writes streams.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import orjson

from modelplane.adapters.providers.canonical.json_values import as_object, as_objects, as_text
from modelplane.adapters.providers.types import JsonObject, Usage, as_count, parse_usage
from modelplane.data_plane.protocols.reading import text_of
from modelplane.data_plane.protocols.responses.tools import INPUT
from modelplane.data_plane.protocols.thoughts import seal

COMPLETED, INCOMPLETE, FAILED, IN_PROGRESS = "completed", "incomplete", "failed", "in_progress"
# Finish reasons that say that there would have been more.
_CUT: Mapping[str, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
# What a response repeats of its request, and what holds where the request says nothing.
_REPEATED: Mapping[str, object] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request its answer depends on.

    Attributes:
        repeated: Fields that the answer repeats.
        custom: Names of tools that take a text.
        sealed: Whether the caller wants thoughts back in a form that they can send again.
    """

    repeated: JsonObject = field(repr=False)
    custom: Collection[str] = ()
    sealed: bool = False


def repeated_fields(body: JsonObject) -> JsonObject:
    """Return the fields of a request that its response repeats."""
    return {
        name: body[name] if body.get(name) is not None else default
        for name, default in _REPEATED.items()
    }


def build_response(answer: JsonObject, asked: Asked) -> JsonObject:
    """Return a whole canonical answer as a response."""
    choice = next(iter(as_objects(answer.get("choices"))), {})
    output = list(_build_items(choice, asked))
    head = build_head(answer, asked)
    return head | {"output": output} | build_end(choice.get("finish_reason"), answer.get("usage"))


def build_head(answer: JsonObject, asked: Asked) -> JsonObject:
    """Return a response without output, as a stream begins; `answer` may be a chunk."""
    return {
        "id": f"resp_{as_text(answer.get('id')) or uuid4().hex}",
        "object": "response",
        "created_at": answer.get("created"),
        "status": IN_PROGRESS,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": answer.get("model"),
        "output": [],
        "previous_response_id": None,
        "store": False,
        "truncation": "disabled",
        "usage": None,
        **asked.repeated,
    }


def build_end(finish_reason: object, usage: object) -> JsonObject:
    """Return how a response ended, and what it took."""
    cut = _CUT.get(str(finish_reason))
    return {
        "status": INCOMPLETE if cut else COMPLETED,
        "incomplete_details": {"reason": cut} if cut else None,
        "usage": build_usage(usage),
    }


def build_usage(usage: object) -> JsonObject:
    """Return a canonical usage as the API has it."""
    counts = parse_usage({"usage": usage}) or Usage()
    read, written = counts.input_tokens or 0, counts.output_tokens or 0
    kept = as_count(as_object(usage).get("cache_creation_input_tokens")) or 0
    return {
        "input_tokens": read,
        "input_tokens_details": {
            "cached_tokens": counts.cached_tokens or 0,
            "cache_write_tokens": kept,
        },
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning_tokens or 0},
        "total_tokens": read + written,
    }


def build_reasoning(text: str, blocks: Sequence[JsonObject], asked: Asked) -> JsonObject:
    """Return what a model thought as an item."""
    summary = [{"type": "summary_text", "text": text}] if text else []
    sealed = {"encrypted_content": seal(blocks)} if blocks and asked.sealed else {}
    return {"id": make_id("rs"), "type": "reasoning", "summary": summary, **sealed}


def build_text(text: str, logprobs: Sequence[object] = ()) -> JsonObject:
    """Return a text as a part of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(logprobs)}


def build_message(item_id: str, parts: Sequence[JsonObject], status: str) -> JsonObject:
    """Return a message as an item."""
    return {
        "id": item_id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": list(parts),
    }


def build_call(call: JsonObject, asked: Asked) -> JsonObject:
    """Return a canonical call as an item."""
    function = as_object(call.get("function"))
    name, arguments = as_text(function.get("name")), as_text(function.get("arguments"))
    call_id = as_text(call.get("id")) or make_id("call")
    return make_call(call_id, name, arguments, asked)


def make_call(call_id: str, name: str, arguments: str, asked: Asked) -> JsonObject:
    """Return a finished call as an item."""
    shared = {"status": COMPLETED, "call_id": call_id, "name": name}
    if name in asked.custom:
        text = read_input(arguments)
        return {"id": make_id("ctc"), "type": "custom_tool_call", **shared, "input": text}
    return {"id": make_id("fc"), "type": "function_call", **shared, "arguments": arguments or "{}"}


def read_input(arguments: str) -> str:
    """Return the text that a custom tool is called with; see `tools.py`."""
    try:
        value = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments
    text = value.get(INPUT) if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments


def make_id(kind: str) -> str:
    """Return a new identifier, which says of what it is one."""
    return f"{kind}_{uuid4().hex}"


def _build_items(choice: JsonObject, asked: Asked) -> Iterator[JsonObject]:
    message = as_object(choice.get("message"))
    thought, blocks = as_text(message.get("reasoning_content")), message.get("thinking_blocks")
    if thought or blocks:
        yield build_reasoning(thought, as_objects(blocks), asked)
    parts: list[JsonObject] = []
    if text := text_of(message.get("content")):
        logprobs = as_objects(as_object(choice.get("logprobs")).get("content"))
        parts.append(build_text(text, logprobs))
    if refusal := as_text(message.get("refusal")):
        parts.append({"type": "refusal", "refusal": refusal})
    calls = as_objects(message.get("tool_calls"))
    if parts or not calls:
        yield build_message(make_id("msg"), parts or [build_text("")], COMPLETED)
    for call in calls:
        yield build_call(call, asked)
