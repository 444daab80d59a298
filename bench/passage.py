"""Measures queries that pass as they are beside those in OpenAI's form: a worker's pipeline.

In one process, without sockets, by turns. The provider is a list of bytes, so what differs is what
the gateway does: the same question, and the same answer in the form of each API.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import orjson

from bench.report import Table
from tests.data_plane.guardrails.pipeline import (
    Json,
    Pipeline,
    chat_answer,
    chat_chunks,
    claude_answer,
    claude_events,
)

_COLUMNS = ("form", "500 B µs", "100 kB µs", "stream µs/request", "stream µs/chunk")
_CHUNKS = 200
_FEW = 2
_WORD = "words "
_AT_A_TIME = 50
_SENTENCE = "The quick brown fox jumps over 12 lazy dogs, and nobody knows why it does (yet). "


@dataclass(frozen=True)
class _Form:
    """One API.

    Attributes:
        asked: Field that holds the messages.
        events: Returns a stream of so many chunks.
    """

    name: str
    path: str
    asked: str
    body: Json
    answer: Json
    events: Callable[[int], Sequence[Json]]

    def encode(self, size: int, *, stream: bool) -> bytes:
        """Return a question of so many bytes."""
        text = (_SENTENCE * (size // len(_SENTENCE) + 1))[:size]
        messages = [{"role": "user", "content": text}]
        return orjson.dumps({**self.body, self.asked: messages, "stream": stream})

    def stream(self, count: int) -> list[bytes]:
        """Return the events of a stream, as they are sent."""
        told = [(event.get("type"), orjson.dumps(event)) for event in self.events(count)]
        named = [f"event: {kind}\n".encode() if kind else b"" for kind, _ in told]
        parts = [
            b"%bdata: %b\n\n" % (name, data) for name, (_, data) in zip(named, told, strict=True)
        ]
        return [*parts, b"data: [DONE]\n\n"] if not named[0] else parts


def _claude(count: int) -> list[Json]:
    deltas = [{"type": "text_delta", "text": _WORD}] * count
    return claude_events({"type": "text", "text": ""}, deltas)


def _response(status: str) -> Json:
    part = {"type": "output_text", "text": "Fine.", "annotations": []}
    message = {"type": "message", "id": "m", "role": "assistant", "content": [part]}
    return {
        "id": "r",
        "object": "response",
        "status": status,
        "model": "gpt-4",
        "output": [message],
        "usage": {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14},
    }


def _responses(count: int) -> list[Json]:
    delta = {"type": "response.output_text.delta", "item_id": "m", "delta": _WORD}
    return [
        {"type": "response.created", "response": _response("in_progress")},
        *([delta] * count),
        {"type": "response.completed", "response": _response("completed")},
    ]


_FORMS = (
    _Form(
        "OpenAI's chat",
        "/serving-endpoints/chat/completions",
        "messages",
        {"model": "chat"},
        chat_answer({"content": "Fine."}),
        lambda count: chat_chunks([{"content": _WORD}] * count),
    ),
    _Form(
        "Messages, passed",
        "/ai-gateway/anthropic/v1/messages",
        "messages",
        {"model": "claude", "max_tokens": 9},
        claude_answer({"type": "text", "text": "Fine."}),
        _claude,
    ),
    _Form(
        "Responses, passed",
        "/ai-gateway/openai/v1/responses",
        "input",
        {"model": "chat"},
        _response("completed"),
        _responses,
    ),
)


async def measure(seconds: float) -> Table:
    """Return CPU time of a request, and of a chunk, in each form.

    Args:
        seconds: How long each measurement of a form runs.
    """
    columns = [
        await _by_turns([_whole(form, size) for form in _FORMS], seconds) for size in (500, 100_000)
    ]
    few, many = [
        await _by_turns([_streamed(form, count) for form in _FORMS], seconds)
        for count in (_FEW, _CHUNKS)
    ]
    each = [(long - short) / (_CHUNKS - _FEW) for short, long in zip(few, many, strict=True)]
    rows: list[list[str | float]] = [
        [form.name, *values] for form, *values in zip(_FORMS, *columns, few, each, strict=True)
    ]
    return Table("Queries that pass, CPU of a call without sockets", _COLUMNS, rows)


def _whole(form: _Form, size: int) -> Callable[[], Awaitable[None]]:
    pipeline = Pipeline()
    pipeline.provider.say(form.answer)
    return _asking(pipeline, form, form.encode(size, stream=False))


def _streamed(form: _Form, count: int) -> Callable[[], Awaitable[None]]:
    pipeline = Pipeline()
    pipeline.provider.parts, pipeline.provider.streams = form.stream(count), True
    return _asking(pipeline, form, form.encode(500, stream=True))


def _asking(pipeline: Pipeline, form: _Form, body: bytes) -> Callable[[], Awaitable[None]]:
    pipeline.guard(None)

    async def ask() -> None:
        wire = await pipeline.post(form.path, body)
        if wire.status != 200:
            raise RuntimeError(wire.text)
        pipeline.provider.requests.clear()
        pipeline.ledger.records.clear()

    return ask


async def _by_turns(works: Sequence[Callable[[], Awaitable[None]]], seconds: float) -> list[float]:
    """Return the CPU time of each work, microseconds: the least of its turns."""
    least = [float("inf")] * len(works)
    begun = time.process_time()
    while time.process_time() - begun < seconds * len(works):
        for number, work in enumerate(works):
            start = time.process_time()
            for _ in range(_AT_A_TIME):
                await work()
            least[number] = min(least[number], time.process_time() - start)
    return [one / _AT_A_TIME * 1e6 for one in least]
