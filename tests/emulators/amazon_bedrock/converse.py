"""Deterministic answers of Converse, derived from the request: whole, and as a stream's events.

Words in the last message steer the answer: a tool's name calls it, `twice` calls it twice,
`explain` says something before, `guard` lets a guardrail intervene, `redact` hides the thinking.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from tests.emulators.amazon_bedrock import frames
from tests.emulators.emulator import Json
from tests.emulators.openai.answers import tokens_of

_CACHE_READ = 7
_CACHE_WRITTEN = 5
_FRAGMENT = 6
GUARD_TEXT = "Sorry, I cannot answer this."


def answer(model_id: str, body: Json) -> Json:
    """Return the whole answer."""
    content, reason = _content(model_id, body)
    whole: Json = {
        "metrics": {"latencyMs": 12},
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": reason,
        "usage": _usage(body, content),
    }
    if reason == "guardrail_intervened" and "silently" in _heard(body):
        del whole["output"]
    return whole


def events(model_id: str, body: Json) -> list[bytes]:
    """Return the frames that add up to the whole answer."""
    whole = answer(model_id, body)
    found = [frames.event("messageStart", {"p": "abc", "role": "assistant"})]
    content = whole.get("output", {"message": {"content": []}})["message"]["content"]
    for index, block in enumerate(content):
        if "toolUse" in block:
            start = {name: block["toolUse"][name] for name in ("toolUseId", "name")}
            opened = {"contentBlockIndex": index, "start": {"toolUse": start}}
            found.append(frames.event("contentBlockStart", opened))
        for delta in _deltas(block):
            grown = {"contentBlockIndex": index, "delta": delta, "p": "abcdef"}
            found.append(frames.event("contentBlockDelta", grown))
        found.append(frames.event("contentBlockStop", {"contentBlockIndex": index}))
    found.append(frames.event("messageStop", {"stopReason": whole["stopReason"]}))
    metadata = {"usage": whole["usage"], "metrics": whole["metrics"]}
    return [*found, frames.event("metadata", metadata)]


def _deltas(block: Json) -> Iterator[Json]:
    if "text" in block:
        yield from ({"text": token} for token in tokens_of(block["text"]))
    elif "toolUse" in block:
        given = block["toolUse"]["input"]
        text = json.dumps(given) if given else ""
        for start in range(0, len(text), _FRAGMENT):
            yield {"toolUse": {"input": text[start : start + _FRAGMENT]}}
    elif "reasoningText" in block["reasoningContent"]:
        thought = block["reasoningContent"]["reasoningText"]
        for token in tokens_of(thought["text"]):
            yield {"reasoningContent": {"text": token}}
        yield {"reasoningContent": {"signature": thought["signature"]}}
    else:
        yield {"reasoningContent": block["reasoningContent"]}


def _content(model_id: str, body: Json) -> tuple[list[Json], str]:
    heard = _heard(body)
    if "guard" in heard:
        return [{"text": GUARD_TEXT}], "guardrail_intervened"
    thought = _thought(body, heard)
    if calls := _calls(body, heard):
        said = [{"text": "Let me see."}] if "explain" in heard else []
        return [*thought, *said, *calls], "tool_use"
    seen = sum("image" in block for block in body["messages"][-1]["content"])
    who = " ".join(block["text"] for block in body.get("system", []) if "text" in block)
    text = f"{model_id} heard: {heard}"
    text += f" and saw {seen}" * bool(seen) + f" as {who}" * bool(who)
    config = body.get("inferenceConfig", {})
    found = [at for stop in config.get("stopSequences", []) if (at := text.find(stop)) >= 0]
    tokens = tokens_of(text[: min(found)] if found else text)
    limit = config.get("maxTokens", 4096)
    if len(tokens) > limit:
        return [*thought, {"text": "".join(tokens[:limit])}], "max_tokens"
    reason = "stop_sequence" if found else "end_turn"
    return [*thought, {"text": "".join(tokens)}], reason


def _heard(body: Json) -> str:
    texts = []
    for block in body["messages"][-1]["content"]:
        texts.append(block.get("text", ""))
        result = block.get("toolResult", {}).get("content", [])
        texts += [part.get("text") or json.dumps(part.get("json", "")) for part in result]
    return "".join(texts)


def _thought(body: Json, heard: str) -> list[Json]:
    wanted = body.get("additionalModelRequestFields", {}).get("thinking", {})
    if wanted.get("type") != "enabled":
        return []
    if "redact" in heard:
        return [{"reasoningContent": {"redactedContent": "c2VjcmV0"}}]
    text = f"They said {heard}."
    return [{"reasoningContent": {"reasoningText": {"text": text, "signature": _digest(text)}}}]


def _calls(body: Json, heard: str) -> list[Json]:
    config = body.get("toolConfig", {})
    specs = [tool["toolSpec"] for tool in config.get("tools", []) if "toolSpec" in tool]
    choice = config.get("toolChoice", {"auto": {}})
    answered = any("toolResult" in block for block in body["messages"][-1]["content"])
    if "tool" in choice:
        called = [spec for spec in specs if spec["name"] == choice["tool"]["name"]]
    else:
        called = [] if answered else [spec for spec in specs if spec["name"] in heard]
        if "any" in choice and not called:
            called = specs[:1]
    if "twice" in heard:
        called = [spec for spec in called for _ in range(2)]
    return [{"toolUse": _call(body, spec, at, heard)} for at, spec in enumerate(called)]


def _call(body: Json, spec: Json, at: int, heard: str) -> Json:
    properties: Json = spec["inputSchema"]["json"].get("properties") or {}
    by_type: dict[Any, Any] = {"integer": 1, "number": 1.5, "boolean": True}
    given = {name: by_type.get(str(one.get("type")), heard) for name, one in properties.items()}
    call_id = f"tooluse_{at}{_digest(json.dumps(body, sort_keys=True))}"
    return {"toolUseId": call_id, "name": spec["name"], "input": given}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _usage(body: Json, content: list[Json]) -> Json:
    asked = len(tokens_of(json.dumps(body["messages"])))
    answered = sum(len(tokens_of(json.dumps(block))) for block in content)
    cached = "cachePoint" in json.dumps(body)
    usage = {"inputTokens": asked, "outputTokens": answered}
    if cached:
        usage |= {"cacheReadInputTokens": _CACHE_READ, "cacheWriteInputTokens": _CACHE_WRITTEN}
    return usage | {"totalTokens": sum(usage.values())}
