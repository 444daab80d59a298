"""Deterministic answers, derived from the request: whole, and as events of a stream."""

import base64
import hashlib
import json
import struct
from collections.abc import Iterator
from typing import Any

from tests.emulators.cohere.schema import EMBED_DIMENSIONS
from tests.emulators.emulator import Json
from tests.emulators.openai.answers import logprob, tokens_of, vector

# Tokens that the chat template adds to what the caller wrote.
TEMPLATE_TOKENS = 60
_FRAGMENT = 5


def answer_id(body: Json) -> str:
    """Return an id; the same for a request and its streamed twin."""
    kept = {name: value for name, value in body.items() if name != "stream"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:32]


def chat_answer(body: Json) -> Json:
    """Return the whole answer to a chat."""
    calls = _calls(body)
    message: Json = {"role": "assistant"}
    content = []
    tokens: list[str] = []
    reason = "TOOL_CALL"
    heard = _text(body["messages"][-1]["content"])
    if (body.get("thinking") or {}).get("type") == "enabled":
        content.append({"type": "thinking", "thinking": f"They said: {heard}"})
    if calls:
        message["tool_plan"] = f"I will call {calls[0]['function']['name']}."
        message["tool_calls"] = calls
    else:
        tokens, reason = _cut(_chat_text(body, heard), body.get("stop_sequences"), body)
        content.append({"type": "text", "text": "".join(tokens)})
    if content:
        message["content"] = content
    counted = sum(len(tokens_of(_text(one.get("content", "")))) for one in body["messages"])
    answered = len(tokens) + sum(len(tokens_of(json.dumps(call))) for call in calls)
    answer: Json = {
        "id": answer_id(body),
        "finish_reason": reason,
        "message": message,
        "usage": {
            "billed_units": {"input_tokens": counted, "output_tokens": answered},
            "tokens": {"input_tokens": counted + TEMPLATE_TOKENS, "output_tokens": answered + 1},
            "cached_tokens": 16,
        },
    }
    if body.get("logprobs"):
        answer["logprobs"] = [_logprob(token) for token in tokens]
    return answer


def chat_events(body: Json) -> list[bytes]:
    """Return the events that add up to the whole answer to a chat."""
    return [
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        for event in _chat_events(body)
    ] + [b"data: [DONE]\n\n"]


def _chat_events(body: Json) -> Iterator[Json]:
    answer = chat_answer(body)
    message = answer["message"]
    start = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}
    yield {"type": "message-start", "id": answer["id"], "delta": {"message": start}}
    for index, part in enumerate(message.get("content", [])):
        kind = part["type"]

        def event(suffix: str, content: Json | None = None, at: int = index) -> Json:
            delta = {} if content is None else {"delta": {"message": {"content": content}}}
            return {"type": f"content-{suffix}", "index": at, **delta}

        yield event("start", {"type": kind, kind: ""})
        for token in tokens_of(part[kind]):
            told = body.get("logprobs") and kind == "text"
            logprobs = {"logprobs": _logprob(token)} if told else {}
            yield event("delta", {kind: token}) | logprobs
        yield event("end")
    for token in tokens_of(message.get("tool_plan", "")):
        yield {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": token}}}
    for index, call in enumerate(message.get("tool_calls", [])):
        yield from _call_events(index, call)
    delta = {"finish_reason": answer["finish_reason"], "usage": answer["usage"]}
    yield {"type": "message-end", "delta": delta}


def _call_events(index: int, call: Json) -> Iterator[Json]:
    def event(suffix: str, fields: Json | None = None) -> Json:
        delta = {} if fields is None else {"delta": {"message": {"tool_calls": fields}}}
        return {"type": f"tool-call-{suffix}", "index": index, **delta}

    arguments = call["function"]["arguments"]
    yield event("start", call | {"function": call["function"] | {"arguments": ""}})
    # As at the real API, a function without arguments has no delta of them.
    for start in range(0, len(arguments) if arguments != "{}" else 0, _FRAGMENT):
        yield event("delta", {"function": {"arguments": arguments[start : start + _FRAGMENT]}})
    yield event("end")


def generate_answer(body: Json) -> Json:
    """Return the whole answer to a generate request."""
    generations = []
    answered = 0
    for turn in range(body.get("num_generations", 1)):
        text = f" {body.get('model', 'command')} continues: {body['prompt']}"
        tokens, reason = _cut(text + f" ({turn})" * bool(turn), body.get("end_sequences"), body)
        tokens, reason = _keep_stop(tokens, reason, body.get("stop_sequences"))
        answered += len(tokens)
        generation: Json = {
            "id": f"{answer_id(body)}-{turn}",
            "text": "".join(tokens),
            "finish_reason": reason,
        }
        if body.get("return_likelihoods") == "GENERATION":
            generation["likelihood"] = -1.5
            generation["token_likelihoods"] = [
                {"token": token, "likelihood": logprob(token)} for token in tokens
            ]
        generations.append(generation)
    return {
        "id": answer_id(body),
        "generations": generations,
        "prompt": body["prompt"],
        "meta": {
            "api_version": {"version": "1", "is_deprecated": True},
            "billed_units": {
                "input_tokens": len(tokens_of(body["prompt"])),
                "output_tokens": answered,
            },
        },
    }


def generate_lines(body: Json, *, counted: bool = False) -> list[bytes]:
    """Return the lines of a stream.

    Args:
        body: The request.
        counted: Whether the end says what the SDK's types do not know: `meta`, with the tokens.
    """
    answer = generate_answer(body)
    events: list[Json] = []
    several = len(answer["generations"]) > 1
    for index, generation in enumerate(answer["generations"]):
        place = {"index": index} if several else {}
        generation.update(place)
        for token in tokens_of(generation["text"]):
            event = {"event_type": "text-generation", "text": token, "is_finished": False}
            events.append(place | event)
    kept = ("id", "generations", "prompt", *(("meta",) if counted else ()))
    response = {name: answer[name] for name in kept}
    events.append(
        {
            "event_type": "stream-end",
            "is_finished": True,
            "finish_reason": answer["generations"][0]["finish_reason"],
            "response": response,
        }
    )
    return [json.dumps(event).encode() + b"\n" for event in events]


def embed_answer(body: Json) -> Json:
    """Return the answer to an embed request."""
    length = body.get("output_dimension", EMBED_DIMENSIONS[body["model"]])
    floats = [vector(text, body["model"] + body["input_type"], length) for text in body["texts"]]
    made: dict[str, Any] = {
        "float": floats,
        "int8": [[round(127 * value) for value in one] for one in floats],
        "base64": [base64.b64encode(struct.pack(f"<{length}f", *one)).decode() for one in floats],
    }
    return {
        "id": answer_id(body),
        "texts": body["texts"],
        "embeddings": {name: made[name] for name in body.get("embedding_types", ["float"])},
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"input_tokens": sum(len(tokens_of(text)) for text in body["texts"])},
        },
        "response_type": "embeddings_by_type",
    }


def _chat_text(body: Json, heard: str) -> str:
    if (body.get("response_format") or {}).get("type") == "json_object":
        return json.dumps({"heard": heard})
    last = body["messages"][-1]
    if last["role"] == "tool":
        return f"{body['model']} tool said: {heard}"
    content = last["content"]
    images = sum(part["type"] == "image_url" for part in content if isinstance(part, dict))
    return f"{body['model']} heard: {heard}" + (f" and saw {images}" if images else "")


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def _cut(text: str, stops: list[str] | None, body: Json) -> tuple[list[str], str]:
    found = [at for stop in stops or [] if (at := text.find(stop)) >= 0]
    tokens = tokens_of(text[: min(found)] if found else text)
    limit = body.get("max_tokens", 4096)
    if len(tokens) > limit:
        return tokens[:limit], "MAX_TOKENS"
    return tokens, "STOP_SEQUENCE" if found else "COMPLETE"


def _keep_stop(tokens: list[str], reason: str, stops: list[str] | None) -> tuple[list[str], str]:
    text = "".join(tokens)
    found = [at + len(stop) for stop in stops or [] if (at := text.find(stop)) >= 0]
    return (tokens_of(text[: min(found)]), "STOP_SEQUENCE") if found else (tokens, reason)


def _calls(body: Json) -> list[Json]:
    """Call each tool as often as the last message names it; a required one at least once."""
    last = body["messages"][-1]
    if last["role"] == "tool" or body.get("tool_choice") == "NONE":
        return []
    text = _text(last["content"])
    functions = [tool["function"] for tool in body.get("tools", [])]
    called = [one for one in functions for _ in range(text.count(one["name"]))]
    if not called and body.get("tool_choice") == "REQUIRED":
        called = functions[:1]
    return [
        {
            "id": f"{function['name']}_{index}{answer_id(body)[:8]}",
            "type": "function",
            "function": {"name": function["name"], "arguments": _arguments(function, text)},
        }
        for index, function in enumerate(called)
    ]


def _arguments(function: Json, text: str) -> str:
    properties = function["parameters"].get("properties", {})
    return json.dumps(dict.fromkeys(properties, text))


def _logprob(token: str) -> Json:
    return {"text": token, "token_ids": [len(token)], "logprobs": [logprob(token)]}
