"""Deterministic answers, derived from the request: whole, and as events of a stream."""

import hashlib
import json
from collections.abc import Iterator

from tests.emulators.emulator import Json
from tests.emulators.openai.answers import logprob, tokens_of

_FRAGMENT = 5


def _digest(body: Json) -> str:
    kept = {name: value for name, value in body.items() if name != "stream"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def chat_answer(body: Json) -> Json:
    """Return the whole answer to a chat."""
    choices = []
    answered = 0
    for index in range(body.get("n", 1)):
        calls = _calls(body)
        tokens, reason = _cut(_chat_text(body, index), body.get("stop"), body.get("max_tokens"))
        message: Json = {"role": "assistant", "content": "".join(tokens), "tool_calls": None}
        if calls:
            message |= {"content": None, "tool_calls": calls}
            reason = "tool_calls"
        answered += len(tokens_of(json.dumps(calls))) if calls else len(tokens)
        choices.append({"index": index, "message": message, "finish_reason": reason})
    asked = sum(len(tokens_of(message["content"] or "")) for message in body["messages"])
    usage = {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
    }
    answer_id = f"chat-{_digest(body)[:12]}"
    return {
        "id": answer_id,
        "choices": choices,
        "usage": usage,
        "meta": {"requestDurationMillis": 1},
    }


def chat_events(body: Json) -> list[bytes]:
    """Return the events that add up to the whole answer to a chat."""
    chunks = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in _chunks(body)]
    return [*chunks, b"data: [DONE]\n\n"]


def _chunks(body: Json) -> Iterator[Json]:
    answer = chat_answer(body)
    (choice,) = answer["choices"]

    def chunk(delta: Json, reason: str | None = None) -> Json:
        part = {"index": 0, "delta": delta, "finish_reason": reason}
        return {"id": answer["id"], "choices": [part]}

    yield chunk({"role": "assistant"})
    if choice["message"]["tool_calls"]:
        for index, call in enumerate(choice["message"]["tool_calls"]):
            yield from map(chunk, _call_deltas(index, call))
    else:
        for token in tokens_of(choice["message"]["content"]):
            yield chunk({"content": token})
    yield chunk({"content": ""}, choice["finish_reason"]) | {"usage": answer["usage"]}


def _call_deltas(index: int, call: Json) -> Iterator[Json]:
    arguments = call["function"]["arguments"]
    fragments = [arguments[at : at + _FRAGMENT] for at in range(0, len(arguments), _FRAGMENT)]
    first = "" if arguments == "{}" else fragments[0]
    opened = call | {"index": index, "function": call["function"] | {"arguments": first}}
    yield {"tool_calls": [opened]}
    for fragment in fragments[1:]:
        yield {"tool_calls": [{"index": index, "function": {"arguments": fragment}}]}


def complete_answer(model: str, body: Json) -> Json:
    """Return the whole answer to a complete request."""
    completions = []
    for turn in range(body.get("numResults", 1)):
        text = f" {model} continues: {body['prompt']}" + f" ({turn})" * bool(turn)
        tokens, reason = _cut(text, body.get("stopSequences"), body.get("maxTokens", 16))
        reason = "endoftext" if reason == "stop" and "".join(tokens) == text else reason
        finish: Json = {"reason": reason}
        if reason == "length":
            finish["length"] = len(tokens)
        elif reason == "stop":
            finish["sequence"] = body["stopSequences"][0]
        completions.append({"data": _data(tokens, body), "finishReason": finish})
    prompt = _data(tokens_of(body["prompt"]), body)
    return {"id": 1234, "prompt": prompt, "completions": completions}


def _data(tokens: list[str], body: Json) -> Json:
    listed = []
    at = 0
    for token in tokens:
        written = token.replace(" ", "\u2581")
        scored = {"token": written, "logprob": logprob(token), "raw_logprob": logprob(token)}
        listed.append(
            {
                "generatedToken": scored,
                "topTokens": [scored] if body.get("topKReturn") else None,
                "textRange": {"start": at, "end": at + len(token)},
            }
        )
        at += len(token)
    return {"text": "".join(tokens), "tokens": listed}


def _chat_text(body: Json, index: int) -> str:
    last = body["messages"][-1]
    if (body.get("response_format") or {}).get("type") == "json_object":
        return json.dumps({"heard": last["content"]})
    said = "tool said" if last["role"] == "tool" else "heard"
    return f"{body['model']} {said}: {last['content']}" + f" ({index})" * bool(index)


def _cut(text: str, stop: object, limit: int | None) -> tuple[list[str], str]:
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    found = [at for item in stops if (at := text.find(item)) >= 0]
    tokens = tokens_of(text[: min(found)] if found else text)
    if limit is not None and len(tokens) > limit:
        return tokens[:limit], "length"
    return tokens, "stop"


def _calls(body: Json) -> list[Json]:
    """Call each tool as often as the last message names it."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return []
    text = last["content"]
    functions = [tool["function"] for tool in body.get("tools", [])]
    called = [one for one in functions for _ in range(text.count(one["name"]))]
    return [
        {
            "id": f"call_{index}{_digest(body)[:8]}",
            "type": "function",
            "function": {
                "name": function["name"],
                "arguments": json.dumps(
                    dict.fromkeys(function.get("parameters", {}).get("properties", {}), text)
                ),
            },
        }
        for index, function in enumerate(called)
    ]
