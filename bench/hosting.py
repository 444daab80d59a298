"""Measures the server of a hosted model beside MLflow's own, in one run.

Model, environment, requests and minutes are the same for both.

The model is a logistic regression of scikit-learn, asked for one row as `dataframe_split`.
"""

import asyncio
import contextlib
import http.client
import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.load import Request, closed_loop
from bench.processes import cpu_seconds, proportional_memory_mib
from bench.report import Table
from tests.hosting.models.cache import Saved, saved
from tests.hosting.replica import TOKEN, serving

_MODEL = "iris"
_COLUMNS = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
_BODY = {"dataframe_split": {"columns": _COLUMNS, "data": [[5.1, 3.5, 1.4, 0.2]]}}
_CONNECTIONS = (1, 4)
_START_SECONDS = 60.0


@dataclass(frozen=True)
class _Server:
    name: str
    pid: int
    port: int
    start_seconds: float


@dataclass(frozen=True)
class _Round:
    rate: float
    microseconds: float
    p50: float
    p99: float


async def measure(*, rounds: int, seconds: int) -> Table:
    """Return what one request costs either server, with medians of rounds in turn."""
    models = await asyncio.to_thread(saved, "3")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        servers = [stack.enter_context(start(models, folder)) for start in (_ours, _mlflow)]
        rows: list[list[str | float]] = []
        for connections in _CONNECTIONS:
            results: dict[str, list[_Round]] = {server.name: [] for server in servers}
            for _ in range(rounds):
                for server in servers:
                    results[server.name].append(await _load(server, connections, seconds))
            rows += [_row(server, connections, results[server.name]) for server in servers]
    columns = ("server", "connections", "requests/s", "CPU µs/request", "p50 ms", "p99 ms",
               "start s", "memory MiB")  # fmt: skip
    return Table("A hosted model of scikit-learn, one row a request", columns, rows)


def _row(server: _Server, connections: int, rounds: list[_Round]) -> list[str | float]:
    def median(field: Callable[[_Round], float]) -> float:
        return statistics.median(field(each) for each in rounds)

    return [
        server.name,
        connections,
        round(median(lambda each: each.rate)),
        round(median(lambda each: each.microseconds)),
        round(median(lambda each: each.p50) * 1000, 2),
        round(median(lambda each: each.p99) * 1000, 2),
        round(server.start_seconds, 2),
        round(proportional_memory_mib(server.pid)),
    ]


async def _load(server: _Server, connections: int, seconds: int) -> _Round:
    url = f"http://127.0.0.1:{server.port}/invocations"
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    before = cpu_seconds(server.pid)
    result = await closed_loop(Request(url, headers, _BODY), connections, seconds)
    if result.failures:
        raise RuntimeError(f"{server.name} failed {result.failures} of {result.requests} requests")
    spent = (cpu_seconds(server.pid) - before) / result.requests * 1e6
    return _Round(result.rate, spent, result.p50, result.p99)


@contextlib.contextmanager
def _ours(models: Saved, folder: Path) -> Iterator[_Server]:
    started = time.monotonic()
    with serving(models, _MODEL, folder) as replica:
        took = time.monotonic() - started
        yield _Server("modelplane", replica.process.pid, replica.port, took)


@contextlib.contextmanager
def _mlflow(models: Saved, folder: Path) -> Iterator[_Server]:
    """Run MLflow's server as `mlflow models serve` does, without its own parent process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = time.monotonic()
    process = subprocess.Popen(
        [
            models.python,
            "-m",
            "uvicorn",
            "--port",
            str(port),
            "mlflow.pyfunc.scoring_server.app:app",
        ],
        cwd=folder,
        env={
            "PATH": os.defpath,
            "HOME": str(folder),
            "__pyfunc_model_path__": str(models.model(_MODEL)),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(port, started + _START_SECONDS)
        yield _Server("MLflow", process.pid, port, time.monotonic() - started)
    finally:
        process.kill()
        process.wait()


def _wait(port: int, deadline: float) -> None:
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/ping")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        finally:
            connection.close()
