"""Deterministic answers: everything is derived from the request, so that a test can predict it.

Words in the last message of a chat steer the answer: a tool's name calls it (with `auto`), `twice`
calls it twice, `explain` says something before, `redact` hides the thinking, `refuse` refuses.

`server` sends them whole, `stream` cuts them into events.
"""

import hashlib
import json

from tests.emulators.anthropic.blocks import blocks_of, sign, turns_of
from tests.emulators.emulator import Json
from tests.emulators.openai.answers import tokens_of

_CACHE_WRITTEN = 5
_CACHE_READ = 7


def last_text(body: Json) -> str:
    """Return the text of the last message, results of tools included."""
    texts = []
    for block in blocks_of(turns_of(body["messages"])[-1]):
        content = block.get("text") or block.get("content", "")
        texts.append(
            content
            if isinstance(content, str)
            else "".join(part.get("text", "[image]") for part in content)
        )
        if block["type"] == "image":
            texts.append("[image]")
    return "".join(texts)


def message(body: Json) -> Json:
    """Return the whole answer to a chat."""
    content, reason, stop = _content(body)
    return {
        "id": f"msg_{_digest(body)}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": reason,
        "stop_sequence": stop,
        "usage": _usage(body, content),
    }


def count(body: Json) -> int:
    """Return the number of tokens that a chat has, however many of them are cached."""
    usage = _usage(body, [])
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return sum(usage.get(name) or 0 for name in names)


def completion(body: Json) -> Json:
    """Return the whole answer to a text completion."""
    prompt = body["prompt"].removeprefix("\n\nHuman:").removesuffix("\n\nAssistant:")
    text = f" {body['model']} continues:{prompt}"
    text, reason, stop = _cut(text, body, body["max_tokens_to_sample"])
    return {
        "type": "completion",
        "id": f"compl_{_digest(body)}",
        "completion": text,
        "stop_reason": "stop_sequence" if reason == "end_turn" else reason,
        "model": body["model"],
        "stop": stop or ("\n\nHuman:" if reason == "end_turn" else None),
        "log_id": f"compl_{_digest(body)}",
    }


def _digest(body: Json) -> str:
    # A stream and a whole answer to the same request are the same answer.
    seed = json.dumps({**body, "stream": None}, sort_keys=True)
    return hashlib.sha256(seed.encode()).hexdigest()[:24]


def _content(body: Json) -> tuple[list[Json], str, str | None]:
    heard = last_text(body)
    if "refuse" in heard:
        return [], "refusal", None
    blocks = _thinking(body, heard)
    calls = _calls(body, heard)
    if calls:
        said = [{"type": "text", "text": "Let me see."}] if "explain" in heard else []
        return [*blocks, *said, *calls], "tool_use", None
    limit = body["max_tokens"]
    text, reason, stop = _cut(_text(body, heard), body, limit)
    return [*blocks, {"type": "text", "text": text}], reason, stop


def _text(body: Json, heard: str) -> str:
    if (body.get("output_config") or {}).get("format"):
        return json.dumps({"model": body["model"], "heard": heard})
    kinds = {block["type"] for block in blocks_of(turns_of(body["messages"])[-1])}
    who = "tool said" if "tool_result" in kinds else "heard"
    return f"{body['model']} {who}: {heard}"


def _thinking(body: Json, heard: str) -> list[Json]:
    if (body.get("thinking") or {}).get("type") not in ("enabled", "adaptive"):
        return []
    if "redact" in heard:
        return [{"type": "redacted_thinking", "data": _digest(body)}]
    thought = f"They said {heard}, so I echo it."
    return [{"type": "thinking", "thinking": thought, "signature": sign(thought)}]


def _calls(body: Json, heard: str) -> list[Json]:
    tools = body.get("tools", [])
    choice = body.get("tool_choice") or {"type": "auto"}
    answered = any(
        block["type"] == "tool_result" for block in blocks_of(turns_of(body["messages"])[-1])
    )
    if choice["type"] == "none" or (choice["type"] == "auto" and answered):
        return []
    if choice["type"] == "tool":
        called = [tool for tool in tools if tool["name"] == choice["name"]]
    else:
        called = [tool for tool in tools if tool["name"] in heard]
        if choice["type"] == "any" and not called:
            called = tools[:1]
    if "twice" in heard:
        called = [tool for tool in called for _ in range(2)]
    if choice.get("disable_parallel_tool_use"):
        called = called[:1]
    return [_call(body, tool, place, heard) for place, tool in enumerate(called)]


def _call(body: Json, tool: Json, place: int, heard: str) -> Json:
    properties = tool["input_schema"].get("properties") or {}
    by_type = {"integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}}
    arguments = {
        name: (schema.get("enum") or [by_type.get(str(schema.get("type")), heard)])[0]
        for name, schema in properties.items()
    }
    return {
        "type": "tool_use",
        "id": f"toolu_{place}{_digest(body)}",
        "name": tool["name"],
        "input": arguments,
    }


def _cut(text: str, body: Json, limit: int) -> tuple[str, str, str | None]:
    found = [
        (place, stop) for stop in body.get("stop_sequences", []) if (place := text.find(stop)) >= 0
    ]
    place, stop = min(found, default=(len(text), None))
    tokens = tokens_of(text[:place])
    if len(tokens) > limit:
        return "".join(tokens[:limit]), "max_tokens", None
    return text[:place], "stop_sequence" if stop else "end_turn", stop


def _usage(body: Json, content: list[Json]) -> Json:
    asked = len(tokens_of(json.dumps(body["messages"])))
    cached = '"cache_control"' in json.dumps(body)
    answered = sum(len(tokens_of(json.dumps(block))) for block in content)
    thought = sum(len(tokens_of(block.get("thinking", ""))) for block in content)
    return {
        "input_tokens": asked,
        "cache_creation_input_tokens": _CACHE_WRITTEN if cached else 0,
        "cache_read_input_tokens": _CACHE_READ if cached else 0,
        "output_tokens": answered,
        "output_tokens_details": {"thinking_tokens": thought},
        "service_tier": "standard",
    }
