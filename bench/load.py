"""Load from wrk, a program of its own, in closed and in open loop.

Closed: each connection sends its next request once the answer to the last is there. Open: requests
leave at a rate, whatever becomes of them. `bench/load.lua` tells wrk what to do; `bench/rounds.py`
measures what a load costs. https://github.com/wg/wrk
"""

import asyncio
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.children import child
from bench.http_client import build_request

_SCRIPT = str(Path(__file__).with_suffix(".lua"))
_INSTALL = "`wrk`, which makes the load, is not installed; apt, dnf and brew have it by that name"
# So many that a rate is kept although some answers are late.
OPEN_CONNECTIONS = 128
# wrk counts a request that takes longer as failed.
_LONGEST_SECONDS = 10
# A generator that takes longer by so much has stalled.
_SLACK_SECONDS = 30.0


class GeneratorStalled(RuntimeError):
    """The generator did not end in time, which says nothing of who was under load: wrk can hang."""


@dataclass(frozen=True, slots=True)
class Request:
    """A POST request of JSON, that is sent over and over."""

    url: str
    headers: Mapping[str, str]
    body: Mapping[str, object]

    @property
    def message(self) -> bytes:
        """Its bytes, for `bench/http_client.py`."""
        return build_request("POST", self.url, self.headers, self.body)


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came of a load. Times are in seconds.

    wrk corrects latencies for coordinated omission, as HdrHistogram does: an answer that took
    longer than a connection has for each request counts for those that it held up, too.
    """

    seconds: float
    # Answers, of any status.
    requests: int
    # Answers with an error's status, lost connections, and answers that took too long.
    failures: int
    p50: float
    p99: float
    p99_9: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


def wrk_version() -> str:
    """Return what wrk calls itself.

    Raises:
        RuntimeError: It is not installed.
    """
    try:
        told = subprocess.run(["wrk", "-v"], check=False, capture_output=True, text=True).stdout
    except FileNotFoundError:
        raise RuntimeError(_INSTALL) from None
    return " ".join(told.split()[:2])


async def closed_loop(request: Request, connections: int, seconds: int) -> LoadResult:
    """Send a request over and over on each of `connections` connections.

    Raises:
        RuntimeError: wrk failed.
    """
    return await _run_wrk(request, connections, seconds)


async def open_loop(request: Request, rate: float, seconds: int) -> LoadResult:
    """Send a request `rate` times a second.

    Raises:
        RuntimeError: wrk failed.
    """
    return await _run_wrk(request, OPEN_CONNECTIONS, seconds, str(rate))


async def run_generator(command: Sequence[str], seconds: int) -> LoadResult:
    """Run a program that makes load, and whose last line of output is a `LoadResult` as JSON.

    Args:
        command: The program and its arguments.
        seconds: How long it makes load.

    Raises:
        GeneratorStalled: It did not end.
        RuntimeError: It failed.
    """
    with tempfile.TemporaryDirectory(prefix="modelplane-load-") as name:
        async with child(*command, settings={}, directory=Path(name), speaks=True) as generator:
            process, limit = generator.process, seconds + _SLACK_SECONDS
            try:
                output, _ = await asyncio.to_thread(process.communicate, timeout=limit)
            except subprocess.TimeoutExpired:
                raise GeneratorStalled(f"{command!r} did not end within {limit} s") from None
            lines = output.splitlines()
            if process.returncode or not lines:
                generator.check()
    return LoadResult(**json.loads(lines[-1]))


async def _run_wrk(request: Request, connections: int, seconds: int, *arguments: str) -> LoadResult:
    headers = [f"--header={name}: {value}" for name, value in request.headers.items()]
    options = (
        *("--threads=1", f"--connections={connections}", f"--duration={seconds}s"),
        *(f"--timeout={_LONGEST_SECONDS}s", f"--script={_SCRIPT}", *headers),
    )
    with tempfile.NamedTemporaryFile("w", prefix="modelplane-load-") as body:
        # Without blanks, as the SDKs write it.
        json.dump(request.body, body, separators=(",", ":"))
        body.flush()
        command = ("wrk", *options, request.url, "--", body.name, *arguments)
        return await run_generator(command, seconds)
