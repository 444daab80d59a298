"""Canonical streams, as any provider may send them, and the whole answers that they add up to."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from modelplane.adapters.providers.errors import MalformedAnswer
from modelplane.adapters.providers.openai.stream import OpenAiStreamParser

Json = dict[str, Any]
SHARED: Json = {"id": "a1", "object": "chat.completion.chunk", "created": 7, "model": "talk"}
USAGE: Json = {
    "prompt_tokens": 9,
    "completion_tokens": 5,
    "total_tokens": 14,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


@dataclass
class Call:
    """A call, and whether its provider names it."""

    name: str
    arguments: str
    has_id: bool


@dataclass
class Answer:
    """What a model says, and how it comes."""

    chunks: list[Json] = field(default_factory=list)
    thought: str = ""
    signature: str = ""
    text: str = ""
    calls: list[Call] = field(default_factory=list)
    finish_reason: str = "stop"


def chunk(delta: Json, finish_reason: str | None = None) -> Json:
    """Return a chunk with one choice."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {**SHARED, "choices": [choice]}


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """Return an answer; the pieces of its calls may come by turns."""
    answer = Answer()
    answer.chunks.append(chunk({"role": "assistant", "content": ""}))
    for piece in draw(st.lists(st.text(min_size=1), max_size=3)):
        answer.thought += piece
        answer.chunks.append(chunk({"reasoning_content": piece}))
    if answer.thought and draw(st.booleans()):
        answer.signature = "sig=="
        block = {
            "index": 0,
            "type": "thinking",
            "thinking": answer.thought,
            "signature": answer.signature,
        }
        answer.chunks.append(chunk({"thinking_blocks": [block]}))
    for piece in draw(st.lists(st.text(min_size=1), max_size=3)):
        answer.text += piece
        answer.chunks.append(chunk({"content": piece}))
    arguments = st.sampled_from(("{}", '{"city":"Paris"}', '{"a":[1,{"b":"}"}]}', ""))
    names = st.sampled_from(("look", "write"))
    answer.calls = draw(st.lists(st.builds(Call, names, arguments, st.booleans()), max_size=3))
    answer.chunks += _mixed(draw, answer.calls)
    answer.finish_reason = draw(st.sampled_from(("stop", "length", "tool_calls", "content_filter")))
    answer.chunks.append(chunk({}, answer.finish_reason))
    answer.chunks.append({**SHARED, "choices": [], "usage": USAGE})
    return answer


def _mixed(draw: st.DrawFn, calls: list[Call]) -> list[Json]:
    """Return the pieces of calls, each call's own in their order."""
    waiting: list[list[Json]] = []
    for index, call in enumerate(calls):
        start: Json = {"index": index, "type": "function", "function": {"name": call.name}}
        if call.has_id:
            start["id"] = f"call_{index}"
        cut = draw(st.integers(0, len(call.arguments)))
        pieces = [piece for piece in (call.arguments[:cut], call.arguments[cut:]) if piece]
        waiting.append(
            [start, *({"index": index, "function": {"arguments": piece}} for piece in pieces)]
        )
    mixed = []
    started = 0
    while any(waiting):
        # Calls begin in their order.
        ready = [at for at, queue in enumerate(waiting) if queue and at <= started]
        at = draw(st.sampled_from(ready))
        started = max(started, at + 1)
        mixed.append(chunk({"tool_calls": [waiting[at].pop(0)]}))
    return mixed


def arriving(answer: Answer) -> Iterator[Json]:
    """Yield the chunks of an answer as they are read of a provider's bytes, which come singly."""
    told = (json.dumps(chunk, ensure_ascii=False).encode() for chunk in answer.chunks)
    raw = b"".join(b"data: %b\n\n" % data for data in told) + b"data: [DONE]\n\n"
    parser = OpenAiStreamParser(
        "openai", lambda chunk: MalformedAnswer("openai", chunk), lambda: None
    )
    for at in range(len(raw)):
        yield from parser.feed(raw[at : at + 1])
    yield from parser.finish()


def events_of(raw: bytes) -> list[Json]:
    """Return the events in a stream, whose names must be those in their data."""
    events = []
    for block in raw.replace(b"\r\n", b"\n").split(b"\n\n"):
        if not block:
            continue
        lines = block.decode().split("\n")
        data = json.loads(lines[-1].removeprefix("data: "))
        if len(lines) == 2:
            assert lines[0] == f"event: {data['type']}"
        events.append(data)
    return events
