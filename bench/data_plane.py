"""Measures the REST path: load, Envoy, worker, and a provider that costs next to nothing.

Called by `python -m bench`. The same load goes to the provider directly, in the same run, so that
the machine's own speed is known.
"""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.children import child, python
from bench.floor import Floor, running_floor
from bench.http_client import build_request
from bench.load import LoadResult, run_load
from bench.processes import cpu_seconds, peak_memory_mib
from bench.report import Row, Table, table_of
from bench.system import Part, System, chat_config, running_system

_COLUMNS = (
    *("case", "connections", "requests/s", "p50 ms", "p99 ms"),
    *("Envoy µs", "worker µs", "Envoy+worker µs", "provider µs", "load µs", "failures"),
)
_STREAM_COLUMNS = (
    *("case", "connections", "chunks/s", "p50 ms", "p99 ms"),
    *("Envoy µs/chunk", "worker µs/chunk", "Envoy+worker µs/chunk", "provider µs/chunk"),
    *("load µs/chunk", "failures"),
)
_ENDPOINT = "bench"
_FLOOR = "Envoy and an empty server"
_CHUNKS = 50
_WARM_UP_SECONDS = 0.5
BUDGET = "budget: Envoy + worker at most 600 µs for a small chat request"


@dataclass(frozen=True)
class Effort:
    """How long, and with how many connections, each case runs."""

    seconds: float
    connections: tuple[int, ...]
    stream_connections: tuple[int, ...]


@dataclass(frozen=True)
class _Setup:
    system: System
    floor: Floor
    provider_url: str
    provider_pid: int


async def measure(effort: Effort, *, unary: bool, streams: bool) -> list[Table]:
    """Return the tables of requests, of streams, and of memory."""
    tables = []
    with tempfile.TemporaryDirectory(prefix="modelplane-bench-") as name:
        directory = Path(name)
        async with (
            # Its columns are an Envoy and a worker apart.
            running_system(directory, "--workers", "1", "--worker-host", "grpc") as system,
            running_floor(directory) as floor,
        ):
            if unary:
                async with _provider(system, floor, directory, interval=0.0) as setup:
                    tables.append(await _measure_unary(setup, effort))
            if streams:
                rows: list[list[str | float]] = []
                for interval in (0.005, 0.0):
                    async with _provider(system, floor, directory, interval=interval) as setup:
                        rows += await _measure_streams(setup, effort, interval)
                tables.append(Table(f"Streams of {_CHUNKS} chunks", _STREAM_COLUMNS, rows))
            tables.append(_memory(system))
    return tables


@asynccontextmanager
async def _provider(
    system: System, floor: Floor, directory: Path, interval: float
) -> AsyncIterator[_Setup]:
    options = ("--chunks", str(_CHUNKS), "--chunk-interval-seconds", str(interval))
    command = (*python("bench.mock_provider"), *options)
    async with child(*command, settings={}, directory=directory) as mock:
        assert mock.process.stdout is not None
        url = mock.process.stdout.readline().decode().strip()
        body = {"name": _ENDPOINT, "config": chat_config(url, "mock")}
        created = await system.call("POST", "/api/2.0/serving-endpoints", body)
        if created.status != 200:
            raise RuntimeError(f"cannot create the endpoint: {created}")
        try:
            yield _Setup(system, floor, url, mock.pid)
        finally:
            await system.call("DELETE", f"/api/2.0/serving-endpoints/{_ENDPOINT}")


async def _measure_unary(setup: _Setup, effort: Effort) -> Table:
    rows = []
    for size, content in (("small", "Say hello."), ("100 kB", "x" * 100_000)):
        for connections in effort.connections:
            for path in ("provider alone", _FLOOR, "gateway"):
                message, url = _message(setup, path, content, stream=False)
                measured = await _measure(
                    setup, url, message, connections, effort.seconds, floor=path == _FLOOR
                )
                case = f"{path}, {size} body"
                rows.append(measured.row(case, connections, measured.result.requests))
    return Table(f"Chat requests ({BUDGET})", _COLUMNS, rows)


async def _measure_streams(
    setup: _Setup, effort: Effort, interval: float
) -> list[list[str | float]]:
    rows = []
    for connections in effort.stream_connections:
        for path in ("provider alone", "gateway"):
            message, url = _message(setup, path, "Say hello.", stream=True)
            measured = await _measure(setup, url, message, connections, effort.seconds)
            pace = f"a chunk each {interval * 1000:.0f} ms" if interval else "as fast as possible"
            rows.append(measured.row(f"{path}, {pace}", connections, measured.result.events))
    return rows


def _message(setup: _Setup, path: str, content: str, *, stream: bool) -> tuple[bytes, str]:
    body = {"messages": [{"role": "user", "content": content}], "stream": stream}
    if path == "gateway":
        url = f"{setup.system.url}/serving-endpoints/{_ENDPOINT}/invocations"
        return build_request("POST", url, setup.system.headers(), body), url
    if path == _FLOOR:
        return build_request("POST", setup.floor.url, setup.system.headers(), body), setup.floor.url
    url = f"{setup.provider_url}/v1/chat/completions"
    return build_request("POST", url, {}, {"model": "mock", **body}), url


@dataclass(frozen=True)
class _Measured:
    result: LoadResult
    envoy: float
    worker: float
    provider: float
    load: float

    def row(self, case: str, connections: int, count: int) -> list[str | float]:
        """Return the columns, with CPU time in microseconds for each of `count`."""
        result = self.result
        each = 1e6 / max(count, 1)
        return [
            *(case, str(connections), count / result.seconds),
            *(result.percentile(0.5) * 1000, result.percentile(0.99) * 1000),
            *(self.envoy * each, self.worker * each, (self.envoy + self.worker) * each),
            *(self.provider * each, self.load * each, str(result.failures)),
        ]


async def _measure(
    setup: _Setup,
    url: str,
    message: bytes,
    connections: int,
    seconds: float,
    *,
    floor: bool = False,
) -> _Measured:
    await run_load(url, message, connections, min(_WARM_UP_SECONDS, seconds))
    groups: list[Sequence[int | str]] = [
        [setup.floor.envoy_pid] if floor else _pids([setup.system.envoy]),
        [setup.floor.server_pid] if floor else _pids(setup.system.workers),
        [setup.provider_pid],
        ["self"],
    ]
    before = [_cpu(pids) for pids in groups]
    result = await run_load(url, message, connections, seconds)
    used = [_cpu(pids) - start for pids, start in zip(groups, before, strict=True)]
    return _Measured(result, *used)


def _cpu(pids: Sequence[int | str]) -> float:
    return sum(cpu_seconds(pid) for pid in pids)


def _pids(parts: Sequence[Part]) -> list[int]:
    return [part.pid for part in parts if part.pid is not None]


def _memory(system: System) -> Table:
    parts = [system.envoy, system.control_plane, *system.workers]
    rows = [Row(part.name, peak_memory_mib(part.pid), "MiB") for part in parts if part.pid]
    return table_of("Peak memory", rows)
