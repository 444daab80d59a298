"""Puts the same load on one gateway after the other, before the same provider.

The gateways are described by `gateway.py`; `table.py` and `plot.py` show what this measures.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.children import child, python
from bench.load import LoadResult, run_load
from bench.peers.gateway import Gateway, Place, Target
from bench.processes import tree_cpu_seconds, tree_peak_memory_mib

CHUNKS = 50
_WARM_UP_CONNECTIONS = 16
# The longest that a request may take beyond the end of its case.
_SLACK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Case:
    """A form of load."""

    stream: bool
    body: str
    connections: int

    @property
    def content(self) -> str:
        """The message that is sent."""
        return "x" * 100_000 if self.body == "100 kB" else "Say hello."

    @property
    def title(self) -> str:
        """What the table calls it."""
        return f"{f'stream of {CHUNKS}' if self.stream else 'unary'}, {self.body} body"


@dataclass(frozen=True, slots=True)
class Measured:
    """What one case cost one gateway."""

    gateway: str
    case: Case
    # CPU time of all its processes, in seconds.
    cpu_seconds: float
    load: LoadResult
    # Of all its processes, since they started.
    peak_memory_mib: float

    @property
    def cpu_micros(self) -> float:
        """CPU time for each request; for each chunk where the answers are streams."""
        count = self.load.requests * (CHUNKS if self.case.stream else 1)
        return self.cpu_seconds * 1e6 / count if count else float("nan")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    # Of each case.
    seconds: float
    # Before the first case of a gateway.
    warm_up_seconds: float
    connections: tuple[int, ...]

    def cases(self) -> list[Case]:
        """Return the cases in the order in which they run."""
        kinds = ((False, "small"), (False, "100 kB"), (True, "small"), (True, "100 kB"))
        return [
            Case(stream, body, connections)
            for stream, body in kinds
            for connections in self.connections
        ]


async def measure(
    gateways: Sequence[Gateway], homes: Path, effort: Effort, tell: Callable[[str], None]
) -> list[Measured]:
    """Measure the gateways in turn; one that fails is told of and left out.

    Args:
        gateways: What to measure; installed.
        homes: Directory that holds what each was installed into.
        effort: How much to measure.
        tell: Takes lines on the progress.
    """
    measured: list[Measured] = []
    for gateway in gateways:
        tell(f"{gateway.name} …")
        try:
            measured += await _measure_gateway(gateway, home_of(gateway, homes), effort)
        except (RuntimeError, OSError) as error:
            tell(f"{gateway.name} failed: {error!r}")
    return measured


def home_of(gateway: Gateway, homes: Path) -> Path:
    """Return the directory that a gateway is installed into."""
    return homes / gateway.name.replace(" ", "-").lower()


async def _measure_gateway(gateway: Gateway, home: Path, effort: Effort) -> list[Measured]:
    with tempfile.TemporaryDirectory(prefix="modelplane-peers-") as name:
        async with _provider(Path(name)) as url:
            place = Place(home, Path(name), url)
            async with gateway.start(place) as target:
                await _check_stream(target)
                await _load(target, _warm_up_case(), effort.warm_up_seconds)
                return [
                    await _measure_case(gateway.name, target, case, effort.seconds)
                    for case in effort.cases()
                ]


@asynccontextmanager
async def _provider(directory: Path) -> AsyncIterator[str]:
    command = (*python("bench.mock_provider"), "--chunks", str(CHUNKS))
    async with child(*command, settings={}, directory=directory) as mock:
        assert mock.process.stdout is not None
        yield mock.process.stdout.readline().decode().strip()


async def _check_stream(target: Target) -> None:
    """Raise a RuntimeError unless every chunk of a stream comes through."""
    result = await _load(target, Case(stream=True, body="small", connections=1), seconds=0.01)
    if result.failures or result.events < CHUNKS * result.requests:
        raise RuntimeError(f"a stream of {CHUNKS} chunks came as {result.events}")


async def _measure_case(name: str, target: Target, case: Case, seconds: float) -> Measured:
    await _load(target, case, min(0.5, seconds / 2))
    before = tree_cpu_seconds(target.pid)
    result = await _load(target, case, seconds)
    used = tree_cpu_seconds(target.pid) - before
    return Measured(name, case, used, result, tree_peak_memory_mib(target.pid))


async def _load(target: Target, case: Case, seconds: float) -> LoadResult:
    message = target.request(case.content, stream=case.stream)
    async with asyncio.timeout(seconds + _SLACK_SECONDS):
        return await run_load(target.url, message, case.connections, seconds)


def _warm_up_case() -> Case:
    return Case(stream=False, body="small", connections=_WARM_UP_CONNECTIONS)
