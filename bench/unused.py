"""Shows what a call pays for what its endpoint does not use: a worker's pipeline in one process.

Each function that is called is counted under the part of the product that it belongs to, and CPU
time is taken in runs without the counting. Called by `python -m bench`; a test keeps the counts at
what they are.
"""

import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import FrameType

from bench.report import Table
from tests.data_plane.guardrails.pipeline import Json, Pipeline, chat_answer, chat_chunks

# Where the code of each part is.
PARTS: Mapping[str, Sequence[str]] = {
    "guardrails": (
        "data_plane/guardrails/",
        "data_plane/calls/guarding.py",
        "data_plane/calls/judging.py",
    ),
    "payload and telemetry tables": ("data_plane/payloads/",),
    "native protocols": (
        "data_plane/protocols/",
        "data_plane/calls/native.py",
        "data_plane/hosts/native.py",
    ),
    "hosted models": (
        "data_plane/hosting/",
        "data_plane/calls/hosted_query.py",
        "data_plane/upstreams/hosted_",
        "data_plane/upstreams/model_server.py",
    ),
}
_COLUMNS = ("what", *(f"{part}: functions called" for part in PARTS), "all functions", "CPU µs")
_PATH = "/serving-endpoints/chat/invocations"
_BODY: Json = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 9}
_PII: Json = {"input": {"pii": {"behavior": "MASK"}}, "output": {"pii": {"behavior": "MASK"}}}
_CHUNKS = 50
_AT_A_TIME = 50

Ask = Callable[[], Awaitable[None]]


async def measure(seconds: float) -> Table:
    """Return what requests and streams of endpoints call and take.

    Args:
        seconds: How long each is measured.
    """
    asked: Mapping[str, Ask] = {
        "request": asking(None, stream=False),
        "stream of 50 chunks": asking(None, stream=True),
        "request, guarded": asking(_PII, stream=False),
        "stream of 50 chunks, guarded": asking(_PII, stream=True),
    }
    rows: list[list[str | float]] = []
    for name, ask in asked.items():
        called = await count(ask)
        of_parts = [str(sum(of_part(called, part).values())) for part in PARTS]
        rows.append([name, *of_parts, str(sum(called.values())), await _micros(ask, seconds)])
    return Table("What is paid for what an endpoint does not use", _COLUMNS, rows)


def asking(guardrails: Json | None, *, stream: bool, path: str = _PATH) -> Ask:
    """Return what asks an endpoint, with guardrails or without, and is answered."""
    pipeline = Pipeline()
    pipeline.guard(guardrails)
    if stream:
        pipeline.provider.stream(chat_chunks([{"content": "words "}] * _CHUNKS))
    else:
        pipeline.provider.say(chat_answer({"content": "Fine."}))
    body = {**_BODY, "stream": stream, "model": "chat"}

    async def ask() -> None:
        wire = await pipeline.post(path, body)
        if wire.status != 200:
            raise RuntimeError(wire.text)
        pipeline.provider.requests.clear()
        pipeline.ledger.records.clear()

    return ask


async def count(ask: Ask) -> Counter[str]:
    """Return how often each function of modelplane is called, by `file:name`."""
    await ask()
    called: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        _, found, place = frame.f_code.co_filename.rpartition("/modelplane/")
        if event == "call" and found:
            called[f"{place}:{frame.f_code.co_qualname}"] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        await ask()
    finally:
        sys.setprofile(before)
    return called


def of_part(called: Counter[str], part: str) -> Counter[str]:
    """Return those of the functions that belong to a part."""
    places = tuple(PARTS[part])
    return Counter({name: times for name, times in called.items() if name.startswith(places)})


async def _micros(ask: Ask, seconds: float) -> float:
    """Return the CPU time of one, microseconds: the least of its turns."""
    least = float("inf")
    begun = time.process_time()
    while (start := time.process_time()) - begun < seconds:
        for _ in range(_AT_A_TIME):
            await ask()
        least = min(least, time.process_time() - start)
    return least / _AT_A_TIME * 1e6
