"""The chunks of a streamed answer, as `data:` events; `server` writes them one by one.

The text comes from `answers`, so a stream adds up to the whole answer to the same request.
"""

import json
from collections.abc import Iterator
from itertools import zip_longest

from tests.emulators.openai import answers
from tests.emulators.openai.answers import Choice
from tests.emulators.openai.errors import Json
from tests.emulators.openai.models import Model, Task

DONE = b"data: [DONE]\n\n"
_FRAGMENT = 7


def event(chunk: object) -> bytes:
    """Return a chunk as one server-sent event."""
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def events(task: Task, body: Json, model: Model) -> list[bytes]:
    """Return all events of a streamed answer, `[DONE]` included.

    The chunks of several choices alternate, as they do at the real API.
    """
    if task == "chat/completions":
        choices = answers.chat_choices(body, model)
        parts = [list(_chat_parts(choice, body)) for choice in choices]
    else:
        choices = answers.completion_choices(body)
        parts = [list(_completion_parts(choice, body)) for choice in choices]
    shared = answers.envelope(task, body, stream=True)
    counted = bool((body.get("stream_options") or {}).get("include_usage"))
    if counted:
        shared["usage"] = None
    turns = [part for turn in zip_longest(*parts) for part in turn if part is not None]
    chunks = [shared | {"choices": [part]} for part in turns]
    if counted:
        usage = answers.usage_of(task, body, choices, model)
        chunks.append(shared | {"choices": [], "usage": usage})
    return [*map(event, chunks), DONE]


def _chat_parts(choice: Choice, body: Json) -> Iterator[Json]:
    def part(delta: Json, reason: str | None = None, tokens: list[str] | None = None) -> Json:
        logprobs = answers.chat_logprobs(tokens, body) if tokens else None
        return {
            "index": choice.index,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": reason,
        }

    if choice.tool_calls:
        yield part({"role": "assistant", "content": None})
        for index, call in enumerate(choice.tool_calls):
            yield from (part(delta) for delta in _tool_deltas(index, call))
    else:
        yield part({"role": "assistant", "content": "", "refusal": None})
        for token in choice.tokens:
            yield part({"content": token}, tokens=[token])
    yield part({}, choice.finish_reason)


def _tool_deltas(index: int, call: Json) -> Iterator[Json]:
    arguments = call["function"]["arguments"]
    opened = {"name": call["function"]["name"], "arguments": ""}
    yield {
        "tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": opened}]
    }
    for start in range(0, len(arguments), _FRAGMENT):
        fragment = {"arguments": arguments[start : start + _FRAGMENT]}
        yield {"tool_calls": [{"index": index, "function": fragment}]}


def _completion_parts(choice: Choice, body: Json) -> Iterator[Json]:
    for token in choice.tokens:
        logprobs = answers.completion_logprobs([token], body)
        yield {"text": token, "index": choice.index, "logprobs": logprobs, "finish_reason": None}
    yield {
        "text": "",
        "index": choice.index,
        "logprobs": None,
        "finish_reason": choice.finish_reason,
    }
