"""The Responses API: what it refuses, and its answers.

What it takes is what the official client's types say
(`openai.types.responses.ResponseCreateParams`); the answers are derived from the request.
"""

import json
from typing import get_type_hints

from openai.types.responses.response_create_params import ResponseCreateParamsBase
from pydantic import TypeAdapter, ValidationError

from tests.emulators.openai.answers import CREATED, tokens_of
from tests.emulators.openai.errors import ApiError, Json

# The last is what Codex sends, and no type has.
_FIELDS = frozenset({*get_type_hints(ResponseCreateParamsBase), "stream", "client_metadata"})
_REQUEST = TypeAdapter(ResponseCreateParamsBase)
# The types leave out what an assistant's earlier message may be.
_OWN_CHECK = ("stream", "input")
_ID = "resp_emulated"


def check(body: Json) -> None:
    """Refuse what the API refuses.

    Raises:
        ApiError: The request is not right.
    """
    for name in body:
        if name not in _FIELDS:
            raise ApiError(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    for name in ("model", "input"):
        if not body.get(name):
            raise ApiError(f"Missing required parameter: '{name}'.", param=name)
    given = body["input"]
    if not isinstance(given, str | list) or not all(isinstance(item, dict | str) for item in given):
        raise ApiError("Invalid type for 'input'.", param="input")
    try:
        _REQUEST.validate_python({key: one for key, one in body.items() if key not in _OWN_CHECK})
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise ApiError(f"Invalid value: '{where}'.", param=where) from None


def text_of(body: Json) -> str:
    """Return what is answered."""
    given = body["input"]
    last = given if isinstance(given, str) else given[-1].get("content") or given[-1].get("output")
    heard = last if isinstance(last, str) else "".join(part.get("text", "") for part in last)
    return f"{body['model']} responds: {heard}"


def response(body: Json) -> Json:
    """Return the whole answer."""
    item = _call(body) or _message("completed", [_text(text_of(body))])
    return head(body) | {
        "status": "completed",
        "output": [item],
        "usage": _usage(body, text_of(body)),
    }


def head(body: Json) -> Json:
    """Return the answer as it begins."""
    return {
        "id": _ID,
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "metadata": {},
        "model": body["model"],
        "output": [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
    }


def events(body: Json) -> list[bytes]:
    """Return the events of a stream."""
    call = _call(body)
    told = [
        ("response.created", {"response": head(body)}),
        ("response.in_progress", {"response": head(body)}),
        *(_text_events(text_of(body)) if call is None else _call_events(call)),
        ("response.completed", {"response": response(body)}),
    ]
    return [
        f"event: {kind}\ndata: "
        f"{json.dumps({'type': kind, 'sequence_number': number, **data})}\n\n".encode()
        for number, (kind, data) in enumerate(told)
    ]


def _text_events(text: str) -> list[tuple[str, Json]]:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    return [
        ("response.output_item.added", {"output_index": 0, "item": _message("in_progress", [])}),
        ("response.content_part.added", {**place, "part": _text("")}),
        *(
            ("response.output_text.delta", {**place, "delta": token, "logprobs": []})
            for token in tokens_of(text)
        ),
        ("response.output_text.done", {**place, "text": text, "logprobs": []}),
        ("response.content_part.done", {**place, "part": _text(text)}),
        (
            "response.output_item.done",
            {"output_index": 0, "item": _message("completed", [_text(text)])},
        ),
    ]


def _call_events(call: Json) -> list[tuple[str, Json]]:
    place = {"item_id": call["id"], "output_index": 0}
    begun = call | {"status": "in_progress", "arguments": ""}
    arguments = call["arguments"]
    return [
        ("response.output_item.added", {"output_index": 0, "item": begun}),
        ("response.function_call_arguments.delta", {**place, "delta": arguments}),
        (
            "response.function_call_arguments.done",
            {**place, "arguments": arguments, "name": call["name"]},
        ),
        ("response.output_item.done", {"output_index": 0, "item": call}),
    ]


def _call(body: Json) -> Json | None:
    """Return the call of the tool that the user's last words name; None: they name none."""
    names = [tool["name"] for tool in body.get("tools") or [] if tool["type"] == "function"]
    named = [name for name in names if name in text_of(body)]
    if not named:
        return None
    return {
        "id": "fc_1",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_emulated",
        "name": named[0],
        "arguments": '{"city":"Paris"}',
    }


def _text(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(status: str, parts: list[Json]) -> Json:
    return {
        "id": "msg_1",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": parts,
    }


def _usage(body: Json, text: str) -> Json:
    read, written = len(tokens_of(json.dumps(body["input"]))), len(tokens_of(text))
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }
