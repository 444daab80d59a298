"""Measures what guardrails cost: a worker's pipeline in one process, without sockets.

Each prompt is prose in which nothing is found, as nearly all are; an answer of as many chunks as it
has words comes from a provider that is a list of bytes.
"""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from statistics import median

from bench.report import Table
from tests.data_plane.guardrails.pipeline import Json, Pipeline, Wire, chat_answer, chat_chunks

_COLUMNS = (
    "guardrails",
    "500 B µs",
    "100 kB µs",
    "100 kB again µs",
    "answer of 500 B µs",
    "stream µs/chunk",
    "first text µs",
)
_PATH = "/serving-endpoints/chat/invocations"
_SENTENCE = "The quick brown fox jumps over 12 lazy dogs, and nobody knows why it does (yet). "
_FIRST = b"The "
_CHUNKS = 200
_NUMBERS = count(1000)
_SIZES = (500, 100_000)
_PII: Json = {"pii": {"behavior": "MASK"}}
_WORDS: Json = {"invalid_keywords": [f"project number {number}" for number in range(200)]}
_PATTERNS: Json = {"name": "badges", "patterns": {"expressions": ["EMP-[0-9]{4,6}"] * 20}}
_HIDING: Json = {"name": "hide", "pii": {}, "action": "pseudonym"}
_WATCHING: Json = {"name": "watch", "pii": {}, "mode": "log"}
# By name: what the mirrored product calls guardrails, and policies.
_RULES: dict[str, tuple[Json | None, list[Json]]] = {
    "none": (None, []),
    "200 keywords": (_WORDS, []),
    "personal data": (_PII, []),
    "both": (_PII | _WORDS, []),
    "20 patterns": (None, [_PATTERNS]),
    "pseudonyms": (None, [_HIDING]),
    "personal data, logged": (None, [_WATCHING]),
}


class _TimedWire(Wire):
    """Notes when the first text of a stream leaves."""

    first: float = 0.0

    async def write(self, data: bytes) -> None:
        """Send data."""
        if not self.first and _FIRST in data:
            self.first = time.process_time()
        await super().write(data)


async def measure(seconds: float) -> Table:
    """Return CPU time of a request, and of a chunk, for each kind of guardrails.

    Args:
        seconds: How long each measurement runs.
    """
    rows = [await _measure(name, *rules, seconds) for name, rules in _RULES.items()]
    return Table("Guardrails, CPU of a call without sockets", _COLUMNS, rows)


async def _measure(
    name: str, rules: Json | None, policies: list[Json], seconds: float
) -> list[str | float]:
    pipeline = Pipeline()
    pipeline.provider.say(chat_answer({"content": "Fine."}))
    pipeline.guard(None if rules is None else {"input": rules}, policies)
    row: list[str | float] = [name]
    row += [await _micros(partial(_ask_anew, pipeline, size), seconds) for size in _SIZES]
    row.append(await _micros(partial(_ask, pipeline, _text(_SIZES[-1])), seconds))
    pipeline.guard(None if rules is None else {"output": rules}, policies)
    pipeline.provider.say(chat_answer({"content": _text(_SIZES[0])}))
    row.append(await _micros(partial(_ask, pipeline, "Hi"), seconds))
    words = (_SENTENCE * _CHUNKS).split(" ")[:_CHUNKS]
    pipeline.provider.stream(chat_chunks([{"content": f"{word} "} for word in words]))
    row.append(await _micros(partial(_ask, pipeline, "Hi", stream=True), seconds) / _CHUNKS)
    row.append(await _first_text(pipeline, seconds))
    return row


async def _first_text(pipeline: Pipeline, seconds: float) -> float:
    """Return the CPU time from a request until the first text of its stream leaves."""
    body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
    taken: list[float] = []
    end = time.process_time() + seconds
    while (start := time.process_time()) < end:
        wire = await pipeline.post(_PATH, body, _TimedWire)
        taken.append((wire.first if isinstance(wire, _TimedWire) else 0.0) - start)
        pipeline.provider.requests.clear()
        pipeline.ledger.records.clear()
    return median(taken) * 1e6


def _text(size: int) -> str:
    return (_SENTENCE * (size // len(_SENTENCE) + 1))[:size]


async def _ask_anew(pipeline: Pipeline, size: int) -> None:
    """Ask what was not asked before: what is sent again is not looked through again."""
    await _ask(pipeline, f"{next(_NUMBERS)} {_text(size)}")


async def _ask(pipeline: Pipeline, content: str, **more: object) -> None:
    body = {"messages": [{"role": "user", "content": content}], **more}
    wire = await pipeline.post(_PATH, body)
    if wire.status != 200:
        raise RuntimeError(wire.text)
    pipeline.provider.requests.clear()
    pipeline.ledger.records.clear()


async def _micros(work: Callable[[], Awaitable[None]], seconds: float) -> float:
    await work()
    done = 0
    start = time.process_time()
    while (elapsed := time.process_time() - start) < seconds:
        for _ in range(10):
            await work()
        done += 10
    return elapsed / done * 1e6
