"""Measures what each chunk of a hosted model's stream costs the parts between it and its caller.

The model is an emulator that writes at a pace. What the parts use by themselves while a stream is
open, for reports and leases, goes by time and not by chunks: two paces tell them apart. To be woken
for each chunk costs a process most of all, and on a busy or virtual machine many times as much as
on a quiet one: two processes that do nothing but copy each chunk stand beside, in the same minutes,
one that blocks, and one with the worker's own event loop. With several streams at a time, chunks
share what a process is woken for.
"""

import asyncio
import os
import socket
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import orjson
import requests
import uvloop

from bench.processes import cpu_seconds
from bench.report import Row, Table, table_of
from tests.e2e.rest import Rest
from tests.e2e.system import System
from tests.emulators.vllm import install
from tests.hosting.e2e.deployment import deployed, hosted, hosting
from tests.hosting.e2e.processes import replicas
from tests.hosting.paced import MODEL, PACE, fill_registry

_SECONDS = 4.0
# Seconds between two tokens.
_PACES = {"slow": 0.2, "quick": 0.01}
_GOAL = "50"
_PARALLEL = (1, 2, 4)
_COPIED, _CHUNK = 300, b"x" * 350
_WORKER = "the worker"
_COPIER, _LOOP = "a process that only copies", "an event loop that only copies"


def measure(*, rounds: int) -> Table:
    """Return the figures, medians of rounds in turn."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        # Replicas are users of their own, who have to get there.
        folder.chmod(0o755)
        environment = install(folder / "vllm", "vllm-0.32.0+cpu")
        fill_registry(folder / "registry")
        system = stack.enter_context(
            hosting(folder / "data", folder / "registry", launcher_vllm=str(environment))
        )
        rest = stack.enter_context(Rest(system))
        for endpoint, pace in _PACES.items():
            variables = {PACE: str(pace)}
            deployed(rest, endpoint, hosted("paced", MODEL, environment_vars=variables))
        state = orjson.loads((system.data_dir / "up.json").read_bytes())
        parts = {
            "Envoy": [state["envoy"]["pid"]],
            _WORKER: [one["pid"] for one in state["workers"]],
            "the replica, around vLLM": replicas(system),
        }
        found = [_round(system, parts) for _ in range(rounds)]
    rows = [Row(part, median(one[part] for one in found), "µs") for part in found[0]]
    for count in _PARALLEL:
        name = _of(_WORKER, count)
        worker = median(one[name] - one[_LOOP] for one in found)
        rows.append(Row(f"{name}, beyond an event loop that copies", worker, "µs", _GOAL))
    return table_of(
        f"CPU of a chunk of a hosted model's stream, one each {_PACES['quick']} s", rows
    )


def _round(system: System, parts: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Return microseconds a chunk of each part, with each number of streams at a time."""
    found = {_COPIER: _copying(_copy), _LOOP: _copying(_copy_in_a_loop)}
    slow, few = _spent(system, parts, "slow", 1)
    for count in _PARALLEL:
        quick, many = _spent(system, parts, "quick", count)
        more = (many - few) / 1e6
        found |= {_of(part, count): (quick[part] - slow[part]) / more for part in parts}
    return found


def _of(part: str, count: int) -> str:
    return part if count == 1 else f"{part}, {count} streams"


def _spent(
    system: System, parts: Mapping[str, Sequence[int]], endpoint: str, count: int
) -> tuple[dict[str, float], int]:
    """Return the CPU seconds of each part while streams are read, and their chunks."""
    before = {part: sum(map(cpu_seconds, pids)) for part, pids in parts.items()}
    tokens = round(_SECONDS / _PACES[endpoint])
    with ThreadPoolExecutor(count) as pool:
        asked = [pool.submit(_stream, system, endpoint, tokens) for _ in range(count)]
        chunks = sum(each.result() for each in asked)
    spent = {part: sum(map(cpu_seconds, pids)) - before[part] for part, pids in parts.items()}
    return spent, chunks


def _copy(source: socket.socket, sink: socket.socket) -> None:
    while data := source.recv(len(_CHUNK)):
        sink.sendall(data)


def _copy_in_a_loop(source: socket.socket, sink: socket.socket) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        over = loop.create_future()

        class Copier(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                out.write(data)

            def connection_lost(self, _: Exception | None) -> None:
                over.set_result(None)

        out, _ = await loop.create_connection(asyncio.Protocol, sock=sink)
        await loop.create_connection(Copier, sock=source)
        await over

    uvloop.run(run())


def _copying(copy: Callable[[socket.socket, socket.socket], None]) -> float:
    """Return microseconds a chunk of a process that does nothing but copy it."""
    (ours, theirs), (to, back) = socket.socketpair(), socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        copy(theirs, to)
        os._exit(0)
    before = cpu_seconds(pid)
    for _ in range(_COPIED):
        time.sleep(_PACES["quick"])
        ours.sendall(_CHUNK)
        back.recv(len(_CHUNK))
    spent = cpu_seconds(pid) - before
    for each in (ours, theirs, to, back):
        each.close()
    os.waitpid(pid, 0)
    return spent / _COPIED * 1e6


def _stream(system: System, endpoint: str, tokens: int) -> int:
    """Read a stream to its end; return how many chunks it had."""
    url = f"{system.url}/serving-endpoints/{endpoint}/invocations"
    body = {
        "messages": [{"role": "user", "content": f"{time.monotonic()}"}],
        "max_tokens": tokens,
        "stream": True,
    }
    with requests.post(url, json=body, headers=system.headers, stream=True, timeout=120) as answer:
        answer.raise_for_status()
        return sum(line.startswith(b"data: {") for line in answer.iter_lines())
