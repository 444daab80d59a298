"""Measures many streams at once: peak memory, and whether any of them starves.

Called by `python -m bench`. The same streams come from the provider directly as well, since what
the load itself and the machine add to the gaps between chunks is no fault of the gateway's.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path

from bench.governed import create_governed_endpoint
from bench.http_client import HttpConnection, build_request
from bench.mock_provider import StreamShape
from bench.processes import each_of, peak_memory_mib, process_name, process_tree
from bench.provider import running_provider
from bench.report import Row, Table, percentile, table_of
from bench.system import running_system

_ENDPOINT = "bench"
_SLACK_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many streams run at once, and how their chunks arrive."""

    streams: int
    shape: StreamShape


@dataclass(frozen=True)
class Gaps:
    """Seconds between one arrival of data and the next of the same stream, sorted."""

    seconds: list[float]
    # Largest gap of each stream, sorted.
    largest: list[float]
    # Streams that did not end with all chunks.
    failures: int


class _TimedConnection(HttpConnection):
    """Notes when data arrives."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__()
        self.arrivals: list[float] = []
        self._clock = clock

    def data_received(self, data: bytes) -> None:
        self.arrivals.append(self._clock())
        super().data_received(data)


async def measure(*, quick: bool) -> list[Table]:
    """Return the tables of a thousand streams, and of three thousand."""
    shape = StreamShape(10 if quick else 60, interval_seconds=0.5)
    crowds = [Crowd(streams, shape) for streams in ((1_000,) if quick else (1_000, 3_000))]
    return [table for crowd in crowds for table in await _measure(crowd)]


async def _measure(crowd: Crowd) -> list[Table]:
    """Return the gaps between chunks, and the peak memory of each process."""
    with tempfile.TemporaryDirectory(prefix="modelplane-bench-") as name:
        directory = Path(name)
        async with (
            running_provider(directory, crowd.shape) as provider,
            running_system(directory, "--workers", "1") as system,
        ):
            headers = await create_governed_endpoint(system, _ENDPOINT, provider.url, "mock")
            body = {"messages": [{"role": "user", "content": "Say hello."}], "stream": True}
            url = f"{provider.url}/v1/chat/completions"
            alone = await _run(url, build_request("POST", url, {}, body), crowd)
            url = f"{system.url}/serving-endpoints/{_ENDPOINT}/invocations"
            through = await _run(url, build_request("POST", url, headers, body), crowd)
            memory = _memory(process_tree(system.up.pid))
    return [_gap_table(crowd, {"provider alone": alone, "gateway": through}), memory]


async def _run(url: str, message: bytes, crowd: Crowd) -> Gaps:
    loop = asyncio.get_running_loop()
    port = int(url.split("/")[2].rpartition(":")[2])
    opened = [
        (await loop.create_connection(_TimedConnection, "127.0.0.1", port))[1]
        for _ in range(crowd.streams)
    ]
    try:
        async with asyncio.timeout(
            crowd.shape.chunks * crowd.shape.interval_seconds + _SLACK_SECONDS
        ):
            ended = await asyncio.gather(*(_stream(one, message, crowd) for one in opened))
    finally:
        for connection in opened:
            await connection.aclose()
    return gaps_of([one.arrivals for one in opened], ended.count(False))


async def _stream(connection: HttpConnection, message: bytes, crowd: Crowd) -> bool:
    """Return whether the stream was whole."""
    with suppress(ConnectionError):
        answer = await connection.request(message)
        return answer.status == 200 and answer.body.count(b"data: ") > crowd.shape.chunks
    return False


def gaps_of(arrivals: Sequence[Sequence[float]], failures: int) -> Gaps:
    """Return the gaps between the times at which data of each stream arrived."""
    each = [[after - before for before, after in pairwise(times)] for times in arrivals]
    largest = sorted(max(gaps) for gaps in each if gaps)
    return Gaps(sorted(gap for gaps in each for gap in gaps), largest, failures)


def _gap_table(crowd: Crowd, measured: dict[str, Gaps]) -> Table:
    columns = (
        "path",
        "p50 ms",
        "p99 ms",
        "largest ms",
        "p99 of each stream's largest ms",
        "failed",
    )
    rows: list[list[str | float]] = [
        [
            path,
            *(percentile(gaps.seconds, share) * 1000 for share in (0.5, 0.99, 1.0)),
            percentile(gaps.largest, 0.99) * 1000,
            str(gaps.failures),
        ]
        for path, gaps in measured.items()
    ]
    milliseconds = crowd.shape.interval_seconds * 1000
    title = f"{crowd.streams:,} streams at once, a chunk each {milliseconds:.0f} ms: gaps"
    return Table(title, columns, rows)


def _memory(pids: Sequence[int]) -> Table:
    names = each_of(pids, process_name)
    peaks = [(names[pid], peak) for pid, peak in each_of(names, peak_memory_mib).items()]
    rows = [Row(short_name(name), peak, "MiB", _goal(name)) for name, peak in peaks]
    total = Row("all processes", sum(peak for _, peak in peaks), "MiB")
    return table_of("Peak memory with these streams", [*rows, total])


def _goal(command_line: str) -> str:
    """Return the most that a worker may hold."""
    return "300" if short_name(command_line) == "modelplane worker" else ""


def short_name(command_line: str) -> str:
    """Return the program that a command line runs, and its command, without folders or options."""
    words = [word.rpartition("/")[2] for word in command_line.split()]
    if words[0].startswith("python"):
        words = [word for word in words[1:] if word not in {"-P", "-m"}]
    return " ".join(takewhile(lambda word: not word.startswith("-"), words))
