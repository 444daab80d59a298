"""The events of a streamed answer; `server` writes them one by one.

They are cut from the whole answer of `answers`, so both say the same.
"""

import json
from collections.abc import Iterator

from tests.emulators.emulator import Json
from tests.emulators.openai.answers import tokens_of

_FRAGMENT = 7


def event(data: Json, name: str | None = None) -> bytes:
    """Return one server-sent event, named as its type."""
    lines = f"event: {name or data['type']}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
    return lines.encode()


def message_events(message: Json) -> list[bytes]:
    """Return the events of a streamed chat."""
    return [event(data) for data in message_data(message)]


def message_data(message: Json) -> list[Json]:
    """Return what the events of a streamed chat carry."""
    usage = message["usage"]
    begun = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    begun["usage"] = {**usage, "output_tokens": 1}
    begun["usage"].pop("output_tokens_details")
    data: list[Json] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(message["content"]):
        data.append(
            {"type": "content_block_start", "index": index, "content_block": _opened(block)}
        )
        data += [
            {"type": "content_block_delta", "index": index, "delta": delta}
            for delta in _deltas(block)
        ]
        data.append({"type": "content_block_stop", "index": index})
    delta = {name: message[name] for name in ("stop_reason", "stop_sequence")}
    data.append({"type": "message_delta", "delta": delta, "usage": _final(usage)})
    return [*data, {"type": "message_stop"}]


def completion_events(completion: Json) -> list[bytes]:
    """Return the events of a streamed text completion."""
    whole = {**completion, "stop_reason": None, "stop": None}
    parts = [{**whole, "completion": token} for token in tokens_of(completion["completion"])]
    last = {**completion, "completion": ""}
    return [*(event(part) for part in parts), event({"type": "ping"}), event(last)]


def _final(usage: Json) -> Json:
    """Return the totals at the end, which repeat some of the first ones."""
    return {name: value for name, value in usage.items() if name != "service_tier"}


def _opened(block: Json) -> Json:
    empty: dict[str, Json] = {"text": {"text": ""}, "tool_use": {"input": {}}}
    if block["type"] == "thinking":
        return {"type": "thinking", "thinking": "", "signature": ""}
    return {**block, **empty.get(block["type"], {})}


def _deltas(block: Json) -> Iterator[Json]:
    if block["type"] == "text":
        yield from ({"type": "text_delta", "text": token} for token in tokens_of(block["text"]))
    elif block["type"] == "tool_use":
        yield {"type": "input_json_delta", "partial_json": ""}
        arguments = json.dumps(block["input"], separators=(",", ":")) if block["input"] else ""
        for start in range(0, len(arguments), _FRAGMENT):
            fragment = arguments[start : start + _FRAGMENT]
            yield {"type": "input_json_delta", "partial_json": fragment}
    elif block["type"] == "thinking":
        for token in tokens_of(block["thinking"]):
            yield {"type": "thinking_delta", "thinking": token}
        yield {"type": "signature_delta", "signature": block["signature"]}
