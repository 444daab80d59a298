"""Runs a governed deployment for a given number of requests and watches its memory.

`python -m bench.soak --requests 1000000`, `make soak`. Fails when the memory of a process in the
last tenth of the requests differs by more than 5 % from that in the second. In the first, caches
and the allocator's pools fill.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import uvloop

from bench.governed import create_governed_endpoint
from bench.http_client import HttpConnection, build_request
from bench.mock_provider import StreamShape
from bench.processes import (
    cpu_seconds,
    each_of,
    joint_memory_mib,
    memory_mib,
    process_name,
    process_tree,
    proportional_memory_mib,
)
from bench.provider import running_provider
from bench.report import Table, print_table, save
from bench.stream_crowd import short_name
from bench.system import running_system

_ENDPOINT = "bench"
_CHUNKS = 50
_SAMPLES = 200
_FLAT = 0.05
# Connections by what they send: content, whether streamed.
_LOAD = (*[("Say hello.", False)] * 12, *[("x" * 100_000, False)] * 2, *[("Say hello.", True)] * 2)
# Of any single request.
_TIMEOUT_SECONDS = 60.0


@dataclass
class Progress:
    """Requests that were sent, and the memory of each process along the way."""

    requests: int
    sent: int = 0
    failures: int = 0
    # MiB for each process id, one for each sample.
    memory: dict[int, list[float]] = field(default_factory=dict)
    # CPU time of each process id since it started.
    cpu_seconds: dict[int, float] = field(default_factory=dict)
    # MiB of control plane, worker and Envoy at the end, what they share counted once.
    together_mib: float = 0.0
    _sampled: int = 0

    def take(self) -> bool:
        """Return whether one more request is to be sent."""
        if self.sent >= self.requests:
            return False
        self.sent += 1
        return True

    def due(self) -> bool:
        """Return whether a sample is due, and count it as taken."""
        due = self.sent * _SAMPLES // self.requests > self._sampled
        self._sampled += due
        return due


@dataclass(frozen=True, slots=True)
class Change:
    """Memory of a process, in MiB, in the second and in the last tenth of the requests."""

    name: str
    early: float
    last: float

    @property
    def share(self) -> float:
        """What it has grown by, as a share of the early one."""
        return self.last / self.early - 1

    @property
    def flat(self) -> bool:
        """Whether it neither grew nor shrank by more than is allowed."""
        return abs(self.share) <= _FLAT


def change_of(name: str, samples: Sequence[float]) -> Change:
    """Return the change between the medians of the second and of the last tenth."""
    tenth = max(1, len(samples) // 10)
    return Change(name, median(samples[tenth : 2 * tenth]), median(samples[-tenth:]))


async def soak(requests: int) -> tuple[list[Change], Table]:
    """Send the requests, and return how the memory of each process changed."""
    with tempfile.TemporaryDirectory(prefix="modelplane-soak-") as name:
        directory = Path(name)
        async with (
            running_provider(directory, StreamShape(_CHUNKS)) as provider,
            running_system(directory, "--workers", "1") as system,
        ):
            headers = await create_governed_endpoint(system, _ENDPOINT, provider.url, "mock")
            url = f"{system.url}/serving-endpoints/{_ENDPOINT}/invocations"
            progress = Progress(requests)
            start = time.perf_counter()
            async with asyncio.TaskGroup() as tasks:
                for content, stream in _LOAD:
                    messages = [{"role": "user", "content": content}]
                    body = {"messages": messages, "stream": stream}
                    message = build_request("POST", url, headers, body)
                    tasks.create_task(_send(url, message, progress, system.up.pid))
            seconds = time.perf_counter() - start
            shares = each_of(progress.memory, proportional_memory_mib)
            # What has ended by now, such as a command of Envoy's, is none of the parts.
            names = each_of(shares, process_name)
            parts = [system.control_plane, *system.workers, system.envoy]
            together = joint_memory_mib([part.pid for part in parts if part.pid is not None])
            progress.together_mib = together
    lasting = [pid for pid in names if len(progress.memory[pid]) > 1]
    changes = [change_of(short_name(names[pid]), progress.memory[pid]) for pid in lasting]
    costs = [(progress.cpu_seconds[pid], shares[pid]) for pid in lasting]
    return changes, _table(changes, costs, progress, seconds)


async def _send(url: str, message: bytes, progress: Progress, pid: int) -> None:
    connection = await HttpConnection.open(url)
    try:
        while progress.take():
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                answer = await connection.request(message)
            progress.failures += answer.status != 200
            if progress.due():
                _sample(progress, pid)
    finally:
        await connection.aclose()


def _sample(progress: Progress, root: int) -> None:
    held = each_of(process_tree(root), memory_mib)
    for pid, mib in held.items():
        progress.memory.setdefault(pid, []).append(mib)
    progress.cpu_seconds |= each_of(held, cpu_seconds)


def _table(
    changes: Sequence[Change],
    costs: Sequence[tuple[float, float]],
    progress: Progress,
    seconds: float,
) -> Table:
    columns = (
        *("process", "second tenth MiB", "last tenth MiB", "change %", "flat within 5 %"),
        *("CPU µs/request", "at the end MiB PSS"),
    )
    rows: list[list[str | float]] = [
        [
            *(one.name, one.early, one.last, one.share * 100, "yes" if one.flat else "no"),
            *(used * 1e6 / progress.sent, share),
        ]
        for one, (used, share) in zip(changes, costs, strict=True)
    ]
    title = (
        f"{progress.sent:,} requests in {seconds:.0f} s, {progress.failures} failed; control plane,"
        f" worker and Envoy together {progress.together_mib:.0f} MiB"
    )
    return Table(title, columns, rows)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    arguments = parser.parse_args()
    if arguments.requests < _SAMPLES:
        parser.error(f"--requests must be at least {_SAMPLES}")
    changes, table = uvloop.run(soak(arguments.requests))
    print_table(table)
    print(f"\n{save([table])}")
    if grown := [one.name for one in changes if not one.flat]:
        sys.exit(f"not flat: {', '.join(grown)}")


if __name__ == "__main__":
    main()
