"""Measures the REST path: load, Envoy, worker, and a provider that costs next to nothing.

Called by `python -m bench`. In each round the same load goes to the provider directly and to an
Envoy before an empty server (`bench/floor.py`) as well, so that the machine's own speed is known.
"""

import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.floor import running_floor
from bench.governed import (
    create_bare_endpoint,
    create_claude_endpoint,
    create_governed_endpoint,
    stand_in,
)
from bench.load import LoadResult, Request, closed_loop, open_loop
from bench.mock_provider import StreamShape
from bench.processes import peak_memory_mib
from bench.provider import Provider, running_provider
from bench.report import Row, Table, table_of
from bench.rounds import PROVIDER, Sample, alternate, sample, spread_of
from bench.system import Part, System, running_system

_COLUMNS = (
    *("case", "path", "per", "Envoy+worker µs", "least", "most"),
    *("Envoy µs", "worker µs", "control plane µs", "provider µs"),
    *("requests/s", "p50 ms", "p99 ms", "p99.9 ms", "CPUs of others", "failures"),
)
_PARTS = ("Envoy", "worker", "control plane")
_CHUNKS = 50
_SMALL = "Say hello."
_LARGE = "x" * 100_000
# Of the most requests that a path answers in closed loop.
_SHARES = (0.5, 0.8)
_BUDGET = "budget: Envoy + worker at most 600 µs for a small chat request"


@dataclass(frozen=True)
class Effort:
    """How often, how long, and with how many connections, each case runs."""

    rounds: int
    seconds: int
    connections: tuple[int, ...]


@dataclass(frozen=True)
class _Path:
    """A way to the provider."""

    name: str
    url: str
    headers: Mapping[str, str]
    # Process ids, by part.
    parts: Mapping[str, Sequence[int]]
    # What its CPU time is counted for, unless that is chunks.
    per: str = "request"
    # What its requests have beside what all have.
    fields: Mapping[str, object] = field(default_factory=dict)

    def request(self, content: str, *, stream: bool) -> Request:
        messages = [{"role": "user", "content": content}]
        body = {"model": "mock", "messages": messages, "stream": stream, **self.fields}
        return Request(self.url, self.headers, body)


@dataclass(frozen=True)
class _Setup:
    system: System
    provider: Provider
    effort: Effort
    alone: _Path
    gateway: Sequence[_Path]
    # Requests that each path answered in closed loop, a second, at best.
    most: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    async def closed(
        self, case: str, paths: Sequence[_Path], connections: int, content: str, *, stream: bool
    ) -> list[list[str | float]]:
        """Return a row for each path."""

        def load(path: _Path) -> Awaitable[LoadResult]:
            request = path.request(content, stream=stream)
            return closed_loop(request, connections, self.effort.seconds)

        samples = await self._alternate(paths, load)
        for path, rounds in zip(paths, samples, strict=True):
            self.most[path.name] = max(self.most[path.name], *(one.load.rate for one in rounds))
        many = "1 connection" if connections == 1 else f"{connections} connections"
        return [
            _row(f"{case}, {many}", path.name, "chunk" if stream else path.per, rounds)
            for path, rounds in zip(paths, samples, strict=True)
        ]

    async def open(self, share: float) -> list[list[str | float]]:
        """Return a row for each path of the gateway, at a share of the most that it answered."""

        def load(path: _Path) -> Awaitable[LoadResult]:
            request = path.request(_SMALL, stream=False)
            return open_loop(request, share * self.most[path.name], self.effort.seconds)

        samples = await self._alternate(self.gateway, load)
        return [
            _row(f"small body, {share:.0%} of the most", path.name, path.per, rounds)
            for path, rounds in zip(self.gateway, samples, strict=True)
        ]

    async def _alternate(
        self, paths: Sequence[_Path], load: Callable[[_Path], Awaitable[LoadResult]]
    ) -> list[list[Sample]]:
        def measure(path: _Path) -> Awaitable[Sample]:
            return sample(load(path), path.parts, self.provider)

        return await alternate(paths, self.effort.rounds, measure)


async def measure(effort: Effort, *, unary: bool, streams: bool) -> list[Table]:
    """Return the tables of requests, of streams, and of memory."""
    tables = []
    with tempfile.TemporaryDirectory(prefix="modelplane-bench-") as name:
        if unary:
            tables += await _measure_unary(Path(name), effort)
        if streams:
            for interval in (0.005, 0.0):
                tables += await _measure_streams(Path(name), effort, interval)
    return tables


async def _measure_unary(directory: Path, effort: Effort) -> list[Table]:
    rows = []
    async with _setup(directory, effort, StreamShape()) as setup, running_floor(directory) as floor:
        parts = {"Envoy": [floor.envoy_pid], "worker": [floor.server_pid]}
        empty = _Path("Envoy and an empty server", floor.url, {}, parts, per="answer")
        paths = (setup.alone, empty, *setup.gateway)
        for size, content in (("small", _SMALL), ("100 kB", _LARGE)):
            for connections in effort.connections:
                case = f"{size} body"
                rows += await setup.closed(case, paths, connections, content, stream=False)
        for share in _SHARES:
            rows += await setup.open(share)
        memory = _memory(setup.system, "requests")
    return [Table(f"Chat requests ({_BUDGET})", _COLUMNS, rows), memory]


async def _measure_streams(directory: Path, effort: Effort, interval: float) -> list[Table]:
    pace = f"a chunk each {interval * 1000:.0f} ms" if interval else "as fast as possible"
    rows = []
    async with _setup(directory, effort, StreamShape(_CHUNKS, interval)) as setup:
        for connections in effort.connections:
            paths = (setup.alone, *setup.gateway)
            rows += await setup.closed(pace, paths, connections, _SMALL, stream=True)
        memory = _memory(setup.system, f"streams, {pace}")
    return [Table(f"Streams of {_CHUNKS} chunks, {pace}", _COLUMNS, rows), memory]


async def measure_native(effort: Effort) -> list[Table]:
    """Return the table of queries in Anthropic's form, passed or translated, beside OpenAI's."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="modelplane-bench-") as name:
        async with _setup(Path(name), effort, StreamShape(_CHUNKS, 0.0)) as setup:
            paths = await _native_paths(setup)
            for connections in effort.connections:
                for case, content in (("small body", _SMALL), ("100 kB body", _LARGE)):
                    rows += await setup.closed(case, paths, connections, content, stream=False)
                case = f"{_CHUNKS} chunks"
                rows += await setup.closed(case, paths, connections, _SMALL, stream=True)
    return [Table("Queries in Anthropic's form", _COLUMNS, rows)]


async def _native_paths(setup: _Setup) -> list[_Path]:
    bare = setup.gateway[0]
    system = setup.system
    await create_claude_endpoint(system, "claude")
    messages = f"{system.url}/ai-gateway/anthropic/v1/messages"
    return [
        bare,
        *(
            _Path(
                name, messages, bare.headers, bare.parts, fields={"model": model, "max_tokens": 9}
            )
            for name, model in (("Messages, passed on", "claude"), ("Messages, translated", "bare"))
        ),
    ]


@asynccontextmanager
async def _setup(directory: Path, effort: Effort, shape: StreamShape) -> AsyncIterator[_Setup]:
    place = Path(tempfile.mkdtemp(dir=directory))
    async with (
        running_provider(place, shape) as provider,
        running_system(
            place,
            "--workers",
            "1",
            settings={"MODELPLANE_UPSTREAM_ORIGINS": stand_in(provider.url)},
        ) as system,
    ):
        alone = _Path("provider alone", f"{provider.url}/v1/chat/completions", {}, {})
        parts = {
            "Envoy": _pids([system.envoy]),
            "worker": _pids(system.workers),
            "control plane": _pids([system.control_plane]),
        }
        gateway = [
            _Path(
                f"gateway, {name}",
                f"{system.url}/serving-endpoints/{name}/invocations",
                await create(system, name, provider.url, "mock"),
                parts,
            )
            for name, create in (
                ("bare", create_bare_endpoint),
                ("governed", create_governed_endpoint),
            )
        ]
        yield _Setup(system, provider, effort, alone, gateway)


def _row(case: str, path: str, per: str, samples: Sequence[Sample]) -> list[str | float]:
    def micros(*parts: str) -> list[float]:
        return [one.micros(per, *parts) for one in samples]

    both = spread_of(micros("Envoy", "worker"))
    loads = [one.load for one in samples]
    return [
        *(case, path, per, both.median, both.least, both.most),
        *(median(micros(part)) for part in (*_PARTS, PROVIDER)),
        median(load.rate for load in loads),
        *(median(load.p50 for load in loads) * 1000, median(load.p99 for load in loads) * 1000),
        median(load.p99_9 for load in loads) * 1000,
        median(one.others for one in samples),
        str(sum(load.failures for load in loads)),
    ]


def _pids(parts: Sequence[Part]) -> list[int]:
    return [part.pid for part in parts if part.pid is not None]


def _memory(system: System, load: str) -> Table:
    parts = [system.envoy, system.control_plane, *system.workers]
    rows = [Row(part.name, peak_memory_mib(part.pid), "MiB") for part in parts if part.pid]
    return table_of(f"Peak memory, {load}", rows)
