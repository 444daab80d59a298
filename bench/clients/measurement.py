"""Puts the same load on each client in turn, round after round, and on an application without one.

`bench/__main__.py` shows the table. What Envoy and the application cost by themselves is taken off
within the same round, since the speed of a shared machine changes from minute to minute.
"""

import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.children import child, python
from bench.clients.envoy import Running, running
from bench.clients.with_nothing import CHUNKS, INTERVAL_SECONDS
from bench.http_client import build_request
from bench.load import LoadResult, run_load
from bench.report import Table

FLOOR = "nothing"
CLIENTS = ("own", "pyvoy", "pyqwest", "pyreqwest", "aiohttp")
_COLUMNS = (
    *("client", "case", "connections", "CPU µs", "per", "without floor", "least", "most"),
    *("requests/s", "p99 ms", "failures"),
)
_WARM_UP_SECONDS = 0.3
_WARM_UP_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int
    # Of each case in each round.
    seconds: float
    connections: tuple[int, ...]


QUICK = Effort(rounds=1, seconds=0.3, connections=(16,))
FULL = Effort(rounds=3, seconds=0.5, connections=(1, 16, 64))


@dataclass(frozen=True, slots=True)
class Case:
    """A form of load."""

    name: str
    path: str
    content: str

    @property
    def per(self) -> str:
        """What CPU time is counted for."""
        return "chunk" if self.path == "/stream" else "request"

    def message(self, url: str, provider: str) -> bytes:
        """Return the bytes of a request to an application."""
        stream = self.path == "/stream"
        messages = [{"role": "user", "content": self.content}]
        body = {"model": "mock", "messages": messages, "stream": stream}
        target = {"x-target": f"{provider}/v1/chat/completions"}
        return build_request("POST", f"{url}{self.path}", target, body)


CASES = (
    Case("small body", "/whole", "Say hello."),
    Case("100 kB body", "/whole", "x" * 100_000),
    Case(f"stream of {CHUNKS}, {INTERVAL_SECONDS * 1000:.0f} ms apart", "/stream", "Say hello."),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one case cost one client in one round."""

    # Of the whole process.
    cpu_seconds: float
    load: LoadResult

    def micros(self, case: Case) -> float:
        """Return the CPU time for each request or chunk, in microseconds."""
        count = self.load.events if case.per == "chunk" else self.load.requests
        return self.cpu_seconds * 1e6 / count if count else float("nan")


# The rounds of each client, by its name.
Samples = Mapping[str, Sequence[Sample]]


async def measure(effort: Effort) -> Table:
    """Return the table of what each client costs."""
    rows: list[list[str | float]] = []
    with tempfile.TemporaryDirectory(prefix="modelplane-clients-") as name:
        directory = Path(name)
        async with _provider(directory) as provider, AsyncExitStack() as stack:
            envoys = [
                await stack.enter_async_context(
                    running(client, directory, "bench.clients.application", [provider])
                )
                for client in (FLOOR, *CLIENTS)
            ]
            for case in CASES:
                for envoy in envoys:
                    await _load(envoy, provider, case, _WARM_UP_CONNECTIONS, _WARM_UP_SECONDS)
            for case in CASES:
                for connections in effort.connections:
                    samples = await _rounds(envoys, provider, case, connections, effort)
                    rows += rows_of(case, connections, samples)
    return Table("Clients inside Envoy, one process each", _COLUMNS, rows)


def rows_of(case: Case, connections: int, samples: Samples) -> list[list[str | float]]:
    """Return a row for each client: medians of the rounds, and the range without the floor."""
    floor = [sample.micros(case) for sample in samples[FLOOR]]
    return [_row(client, case, connections, samples[client], floor) for client in samples]


def _row(
    client: str, case: Case, connections: int, samples: Sequence[Sample], floor: Sequence[float]
) -> list[str | float]:
    used = [sample.micros(case) for sample in samples]
    own = [total - least for total, least in zip(used, floor, strict=True)]
    loads = [sample.load for sample in samples]
    return [
        *(client, case.name, str(connections), median(used), case.per),
        *(median(own), min(own), max(own)),
        median(load.requests / load.seconds for load in loads),
        median(load.percentile(0.99) for load in loads) * 1000,
        str(sum(load.failures for load in loads)),
    ]


async def _rounds(
    envoys: Sequence[Running], provider: str, case: Case, connections: int, effort: Effort
) -> Samples:
    samples: dict[str, list[Sample]] = {envoy.client: [] for envoy in envoys}
    for number in range(effort.rounds):
        # Another one begins each time, so that none is always behind the same neighbour.
        first = number % len(envoys)
        for envoy in (*envoys[first:], *envoys[:first]):
            before = _cpu_seconds(envoy.pid)
            load = await _load(envoy, provider, case, connections, effort.seconds)
            samples[envoy.client].append(Sample(_cpu_seconds(envoy.pid) - before, load))
    return samples


async def _load(
    envoy: Running, provider: str, case: Case, connections: int, seconds: float
) -> LoadResult:
    return await run_load(envoy.url, case.message(envoy.url, provider), connections, seconds)


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, more exactly than /proc has it: for short cases."""
    # A process's clock in Linux: clock_getcpuclockid(3).
    return time.clock_gettime((~pid << 3) | 2)


@asynccontextmanager
async def _provider(directory: Path) -> AsyncIterator[str]:
    shape = ("--chunks", str(CHUNKS), "--chunk-interval-seconds", str(INTERVAL_SECONDS))
    command = (*python("bench.mock_provider"), *shape)
    async with child(*command, settings={}, directory=directory) as mock:
        assert mock.process.stdout is not None
        yield mock.process.stdout.readline().decode().strip()
