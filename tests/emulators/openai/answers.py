"""Deterministic answers: everything is derived from the request, so that a test can predict it.

`server` sends them whole, `stream` cuts them into chunks.
"""

import base64
import hashlib
import json
import math
import random
import re
import struct
from dataclasses import dataclass, field

from tests.emulators.openai.errors import Json
from tests.emulators.openai.models import Model, Task

CREATED = 1_700_000_000
FINGERPRINT = "fp_emulated"
_REASONING_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the `n` answers, in tokens."""

    index: int
    tokens: list[str]
    finish_reason: str
    tool_calls: list[Json] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The answer as one string."""
        return "".join(self.tokens)


def tokens_of(text: str) -> list[str]:
    """Cut a text into tokens: a word with the space before it."""
    return re.findall(r"\s*\S+|\s+$", text)


def text_of(content: object) -> str:
    """Return the text of a message's content, string or parts."""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content if isinstance(content, str) else ""


def chat_text(body: Json, index: int = 0) -> str:
    """Return the full answer to a chat before `stop` and `max_tokens` cut it."""
    last = body["messages"][-1]
    heard = f"{'tool said' if last['role'] == 'tool' else 'heard'}: {text_of(last['content'])}"
    wanted = (body.get("response_format") or {}).get("type", "text")
    if wanted != "text":
        return json.dumps({"model": body["model"], "heard": text_of(last["content"])})
    return f"{body['model']} {heard}" + (f" ({index})" if index else "")


def chat_choices(body: Json, model: Model) -> list[Choice]:
    """Return the `n` answers to a chat."""
    called = _called_tool(body)
    if called is not None:
        call = tool_call(body, called)
        count = body.get("n") or 1
        # The API says `stop`, not `tool_calls`, when the caller forced the function by name.
        reason = "stop" if isinstance(body.get("tool_choice"), dict) else "tool_calls"
        return [Choice(index, [], reason, [call]) for index in range(count)]
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or model.max_output_tokens
    return [
        _cut(index, chat_text(body, index), body.get("stop"), limit)
        for index in range(body.get("n") or 1)
    ]


def completion_choices(body: Json) -> list[Choice]:
    """Return `n` answers to each prompt, numbered through."""
    choices: list[Choice] = []
    for prompt in _prompts(body["prompt"]):
        for turn in range(body.get("n") or 1):
            text = f" {body['model']} continues: {prompt}" + (f" ({turn})" if turn else "")
            choice = _cut(len(choices), text, body.get("stop"), body.get("max_tokens") or 16)
            echoed = tokens_of(prompt) if body.get("echo") else []
            choices.append(Choice(choice.index, echoed + choice.tokens, choice.finish_reason))
    return choices


def _prompts(prompt: object) -> list[str]:
    if isinstance(prompt, str):
        return [prompt]
    assert isinstance(prompt, list)
    if isinstance(prompt[0], int):
        return [" ".join(str(token) for token in prompt)]
    return [item if isinstance(item, str) else " ".join(map(str, item)) for item in prompt]


def _cut(index: int, text: str, stop: object, limit: int) -> Choice:
    stops = [stop] if isinstance(stop, str) else list(stop) if isinstance(stop, list) else []
    found = [position for item in stops if item and (position := text.find(item)) >= 0]
    tokens = tokens_of(text[: min(found)] if found else text)
    if len(tokens) > limit:
        return Choice(index, tokens[:limit], "length")
    return Choice(index, tokens, "stop")


def _called_tool(body: Json) -> Json | None:
    tools: list[Json] = [tool["function"] for tool in body.get("tools", [])]
    chosen = body.get("tool_choice", "auto")
    if isinstance(chosen, dict):
        return next(tool for tool in tools if tool["name"] == chosen["function"]["name"])
    if not tools or chosen == "none" or body["messages"][-1]["role"] == "tool":
        return None
    if chosen == "required":
        return tools[0]
    # `auto` calls the tool whose name the last message mentions.
    text = text_of(body["messages"][-1]["content"])
    return next((tool for tool in tools if tool["name"] in text), None)


def tool_call(body: Json, function: Json) -> Json:
    """Return a call of `function` with one argument per property of its schema."""
    properties = (function.get("parameters") or {}).get("properties") or {}
    text = text_of(body["messages"][-1]["content"])
    arguments = {name: _argument(schema, text) for name, schema in properties.items()}
    digest = hashlib.sha256(f"{function['name']}{arguments}".encode()).hexdigest()
    return {
        "id": f"call_{digest[:24]}",
        "type": "function",
        "function": {"name": function["name"], "arguments": json.dumps(arguments)},
    }


def _argument(schema: Json, text: str) -> object:
    if schema.get("enum"):
        return schema["enum"][0]
    by_type = {"integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}}
    return by_type.get(str(schema.get("type")), text)


def logprob(token: str) -> float:
    """Return the made-up log probability of a token."""
    return -round(len(token) / 10, 2)


def chat_logprobs(tokens: list[str], body: Json) -> Json | None:
    """Return the `logprobs` object of a chat's choice; None unless asked for."""
    if not body.get("logprobs"):
        return None

    def entry(token: str) -> Json:
        return {"token": token, "logprob": logprob(token), "bytes": list(token.encode())}

    alternatives = body.get("top_logprobs") or 0
    content = [
        entry(token)
        | {"top_logprobs": [entry(token[rank:]) for rank in range(min(alternatives, len(token)))]}
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def completion_logprobs(tokens: list[str], body: Json) -> Json | None:
    """Return the `logprobs` object of a completion's choice; None unless asked for."""
    if body.get("logprobs") is None:
        return None
    offsets = [len("".join(tokens[:index])) for index in range(len(tokens))]
    return {
        "tokens": tokens,
        "token_logprobs": [logprob(token) for token in tokens],
        "top_logprobs": [{token: logprob(token)} for token in tokens],
        "text_offset": offsets,
    }


def usage_of(task: Task, body: Json, choices: list[Choice], model: Model) -> Json:
    """Count tokens: four more for each message of a chat, three for the answer's start."""
    if task == "chat/completions":
        messages = body["messages"]
        prompt = 3 + sum(4 + len(tokens_of(text_of(m.get("content")))) for m in messages)
    else:
        prompt = sum(len(tokens_of(text)) for text in _prompts(body["prompt"]))
    reasoning = _REASONING_TOKENS if model.reasoning else 0
    answered = sum(
        len(choice.tokens) + sum(len(tokens_of(str(call))) for call in choice.tool_calls)
        for choice in choices
    )
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answered + reasoning,
        "total_tokens": prompt + answered + reasoning,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def envelope(task: Task, body: Json, *, stream: bool) -> Json:
    """Return the fields that all chunks of an answer share."""
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    chat = task == "chat/completions"
    kind = "chat.completion" + (".chunk" if stream else "") if chat else "text_completion"
    return {
        "id": f"{'chatcmpl' if chat else 'cmpl'}-{digest[:29]}",
        "object": kind,
        "created": CREATED,
        "model": body["model"],
        "system_fingerprint": FINGERPRINT,
    }


def chat_answer(body: Json, model: Model) -> Json:
    """Return the whole answer to a chat."""
    choices = chat_choices(body, model)
    printed = []
    for choice in choices:
        text = None if choice.tool_calls else choice.text
        message: Json = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        if choice.tool_calls:
            message["tool_calls"] = choice.tool_calls
        printed.append(
            {
                "index": choice.index,
                "message": message,
                "logprobs": chat_logprobs(choice.tokens, body),
                "finish_reason": choice.finish_reason,
            }
        )
    shared = envelope("chat/completions", body, stream=False) | {"service_tier": "default"}
    usage = usage_of("chat/completions", body, choices, model)
    return shared | {"choices": printed, "usage": usage}


def completion_answer(body: Json, model: Model) -> Json:
    """Return the whole answer to a completion."""
    choices = completion_choices(body)
    printed = [
        {
            "text": choice.text,
            "index": choice.index,
            "logprobs": completion_logprobs(choice.tokens, body),
            "finish_reason": choice.finish_reason,
        }
        for choice in choices
    ]
    usage = usage_of("completions", body, choices, model)
    return envelope("completions", body, stream=False) | {"choices": printed, "usage": usage}


def vector(text: str, name: str, length: int) -> list[float]:
    """Return the embedding of a text: a unit vector of single-precision numbers."""
    source = random.Random(f"{name} {text}")
    raw = [source.random() - 0.5 for _ in range(length)]
    norm = math.sqrt(sum(value * value for value in raw))
    packed = struct.pack(f"<{length}f", *(value / norm for value in raw))
    return list(struct.unpack(f"<{length}f", packed))


def embedding_answer(body: Json, model: Model) -> Json:
    """Return the answer to an embeddings request."""
    inputs = _prompts(body["input"])
    length = body.get("dimensions", model.dimensions)
    encode = body.get("encoding_format") == "base64"
    printed = []
    for index, text in enumerate(inputs):
        values = vector(text, body["model"], length)
        packed = base64.b64encode(struct.pack(f"<{length}f", *values)).decode()
        embedding = packed if encode else values
        printed.append({"object": "embedding", "index": index, "embedding": embedding})
    count = sum(len(tokens_of(text)) for text in inputs)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "data": printed, "model": body["model"], "usage": usage}
