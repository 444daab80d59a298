"""Measures what each adapter's translation alone costs: no network in the measured part.

Every case of the conformance suite is put to its emulator once, over the data plane's own path, and
what came over the wire is kept; then its request, its whole answer and its stream are translated
over and over.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from bench.report import Table
from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.providers.http.client import Http1Transport
from modelplane.adapters.providers.registry import build_adapter
from modelplane.adapters.providers.types import Image, Query, Task
from modelplane.data_plane.calls.query import build_query
from modelplane.data_plane.calls.tasks import spec_of
from modelplane.data_plane.upstreams.upstream import Upstream
from tests.adapters.providers.conformance import CASES, ProviderCase
from tests.data_plane.fakes import Repeats

_COLUMNS = ("case", "request µs", "answer µs", "stream µs/chunk", "chunks")
_NO_IMAGES: Mapping[str, Image] = {}


async def measure(seconds: float) -> Table:
    """Return CPU time for each case, in microseconds.

    Args:
        seconds: How long each measurement runs.
    """
    rows = [await _measure_case(case, seconds) for case in CASES]
    return Table("Translation by adapter, without network", _COLUMNS, rows)


async def _measure_case(case: ProviderCase, seconds: float) -> list[str | float]:
    whole = build_query(spec_of(case.task), dict(case.body))
    streams = case.streams and case.task != Task.EMBEDDINGS
    streamed = build_query(spec_of(case.task), {**case.body, "stream": True}) if streams else None
    async with _upstream(case) as (adapter, upstream):
        plan = adapter.plan(whole, _NO_IMAGES)
        answers = await upstream.send_all(adapter, plan.requests, Repeats())
        data = await _stream(adapter, upstream, streamed) if streamed else b""
    row: list[str | float] = [
        case.name,
        _cpu_micros(lambda: adapter.plan(whole, _NO_IMAGES), seconds),
        _cpu_micros(lambda: adapter.parse_answers(whole, answers), seconds),
    ]
    if not streamed:
        return [*row, "-", "-"]
    chunks = len(_parse(adapter, streamed, data))
    each = _cpu_micros(lambda: _parse(adapter, streamed, data), seconds) / chunks
    return [*row, each, str(chunks)]


@asynccontextmanager
async def _upstream(case: ProviderCase) -> AsyncIterator[tuple[Adapter, Upstream]]:
    async with case.emulator() as emulator:
        adapter = build_adapter(case.model(emulator.origin))
        async with Http1Transport(case.origins(emulator.origin)) as transport:
            upstream = Upstream(transport, time.time)  # noqa: TID251 - tokens have real lifetimes
            try:
                yield adapter, upstream
            finally:
                await upstream.aclose()


async def _stream(adapter: Adapter, upstream: Upstream, query: Query) -> bytes:
    response = await upstream.open(adapter, adapter.plan(query, _NO_IMAGES).requests[0], Repeats())
    try:
        return await response.body()
    finally:
        response.close()


def _parse(adapter: Adapter, query: Query, data: bytes) -> Sequence[object]:
    parser = adapter.stream_parser(query)
    chunks = list(parser.feed(data))
    try:
        chunks += parser.finish()
    except AdapterError as error:
        raise RuntimeError(f"{error.provider}: {error.detail}") from error
    return chunks


def _cpu_micros(work: Callable[[], object], seconds: float) -> float:
    work()
    count = 0
    start = time.process_time()
    while (elapsed := time.process_time() - start) < seconds:
        for _ in range(20):
            work()
        count += 20
    return elapsed / count * 1e6
