"""Puts the same load on each client in turn, round after round, and on an application without one.

`bench/__main__.py` shows the table. What Envoy and the application cost by themselves is taken off
within the same round, since the speed of a shared machine changes from minute to minute.
"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.clients.envoy import Running, running
from bench.clients.with_nothing import CHUNKS, INTERVAL_SECONDS
from bench.load import LoadResult, Request, closed_loop
from bench.mock_provider import StreamShape
from bench.processes import cpu_seconds
from bench.provider import running_provider
from bench.report import Table
from bench.rounds import alternate

FLOOR = "nothing"
CLIENTS = ("own", "pyvoy", "pyqwest", "pyreqwest", "aiohttp")
_COLUMNS = (
    *("client", "case", "connections", "CPU µs", "per", "without floor", "least", "most"),
    *("requests/s", "p99 ms", "failures"),
)
_WARM_UP_SECONDS = 1
_WARM_UP_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int
    # Of each case in each round.
    seconds: int
    connections: tuple[int, ...]


QUICK = Effort(rounds=1, seconds=1, connections=(16,))
FULL = Effort(rounds=3, seconds=1, connections=(1, 16, 64))


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

    def request(self, url: str, provider: str) -> Request:
        """Return a request to an application."""
        stream = self.path == "/stream"
        messages = [{"role": "user", "content": self.content}]
        body = {"model": "mock", "messages": messages, "stream": stream}
        target = {"x-target": f"{provider}/v1/chat/completions"}
        return Request(f"{url}{self.path}", target, body)


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
    connections: int
    load: LoadResult

    def micros(self, case: Case) -> float:
        """Return the CPU time for each request or chunk, in microseconds."""
        if not self.load.requests:
            return float("nan")
        if case.per == "request":
            return self.cpu_seconds * 1e6 / self.load.requests
        # The load ends amid streams; each connection has had as many as there was time for.
        streams = self.connections * self.load.seconds / self.load.p50
        return self.cpu_seconds * 1e6 / (streams * CHUNKS)


# The rounds of each client, by its name.
Samples = Mapping[str, Sequence[Sample]]


async def measure(effort: Effort) -> Table:
    """Return the table of what each client costs."""
    rows: list[list[str | float]] = []
    with tempfile.TemporaryDirectory(prefix="modelplane-clients-") as name:
        directory = Path(name)
        shape = StreamShape(CHUNKS, INTERVAL_SECONDS)
        async with running_provider(directory, shape) as provider, AsyncExitStack() as stack:
            envoys = [
                await stack.enter_async_context(
                    running(client, directory, "bench.clients.application", [provider.url])
                )
                for client in (FLOOR, *CLIENTS)
            ]
            for case in CASES:
                for envoy in envoys:
                    request = case.request(envoy.url, provider.url)
                    await closed_loop(request, _WARM_UP_CONNECTIONS, _WARM_UP_SECONDS)
            for case in CASES:
                for connections in effort.connections:
                    samples = await _rounds(envoys, provider.url, case, connections, effort)
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
        median(load.rate for load in loads),
        median(load.p99 for load in loads) * 1000,
        str(sum(load.failures for load in loads)),
    ]


async def _rounds(
    envoys: Sequence[Running], provider: str, case: Case, connections: int, effort: Effort
) -> Samples:
    async def measure(envoy: Running) -> Sample:
        before = cpu_seconds(envoy.pid)
        request = case.request(envoy.url, provider)
        load = await closed_loop(request, connections, effort.seconds)
        return Sample(cpu_seconds(envoy.pid) - before, connections, load)

    samples = await alternate(envoys, effort.rounds, measure)
    return {envoy.client: rounds for envoy, rounds in zip(envoys, samples, strict=True)}
