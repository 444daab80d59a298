"""Puts the same load on the gateways in alternating rounds, before the same provider.

The gateways are described by `gateway.py`; `table.py` and `plot.py` show what this measures.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.grpc_load import call_loop
from bench.http_client import HttpConnection
from bench.load import OPEN_CONNECTIONS, GeneratorStalled, LoadResult, closed_loop, open_loop
from bench.mock_provider import StreamShape
from bench.peers.gateway import Gateway, Place, Target
from bench.processes import tree_peak_memory_mib
from bench.provider import Provider, running_provider
from bench.rounds import Sample, alternate, sample

CHUNKS = 50
SMALL = "small"
LARGE = "100 kB"
STREAM = f"stream of {CHUNKS}"
TYPED = "gRPC, typed"
_TYPED_CALLS = 16
# Of the most requests that a gateway answers in closed loop.
_SHARES = (0.5, 0.8)
_SMALL_CONTENT = "Say hello."
_LARGE_CONTENT = "x" * 100_000
_STREAM_SECONDS = 30.0
_OK = 200
# The one group of a gateway's processes.
_ALL = "all"


@dataclass(frozen=True, slots=True)
class Case:
    """A form of load."""

    # What is asked for, as the constants above name it.
    kind: str
    connections: int
    # In open loop: the rate, as a share of the most that the gateway answered in closed loop.
    share: float | None = None

    @property
    def title(self) -> str:
        """What the table calls it."""
        if self.share:
            return f"{self.kind}, at {self.share:.0%} of the most"
        return f"{self.kind}, {self.connections} at once"

    @property
    def per(self) -> str:
        """What CPU time is counted for."""
        return "chunk" if self.kind == STREAM else "request"

    def suits(self, gateway: Gateway, target: Target) -> bool:
        """Return whether a gateway is measured in this case."""
        if self.kind == TYPED:
            return target.typed is not None and not gateway.scaling
        return not gateway.scaling or (self.kind in {SMALL, STREAM} and self.share is None)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one case cost one gateway."""

    gateway: str
    case: Case
    # One for each round.
    samples: Sequence[Sample]
    # Of all its processes, since they started.
    peak_memory_mib: float
    governed: bool = False

    @property
    def micros(self) -> list[float]:
        """CPU time of all its processes by request or chunk, one for each round."""
        return [one.micros(self.case.per, _ALL) for one in self.samples]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int
    # Of each case in each round.
    seconds: int
    connections: tuple[int, ...]
    # Before the first case of a gateway: connections and seconds.
    warm_up: tuple[int, int] = (16, 1)

    def cases(self) -> list[Case]:
        """Return the cases in the order in which they run."""
        closed = [
            Case(kind, connections)
            for kind in (SMALL, LARGE, STREAM)
            for connections in self.connections
        ]
        opened = [Case(SMALL, OPEN_CONNECTIONS, share) for share in _SHARES]
        return [*closed, *opened, Case(TYPED, _TYPED_CALLS)]


async def measure(
    gateways: Sequence[Gateway], homes: Path, effort: Effort, tell: Callable[[str], None]
) -> list[Measured]:
    """Measure the gateways, case after case; one that fails is told of and left out from then on.

    Args:
        gateways: What to measure; installed.
        homes: Directory that holds what each was installed into.
        effort: How much to measure.
        tell: Takes lines on the progress.
    """
    measured: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="modelplane-peers-") as name:
        shape = StreamShape(CHUNKS)
        async with running_provider(Path(name), shape) as provider, AsyncExitStack() as stack:
            crowd = _Crowd(provider, effort, tell)
            for number, gateway in enumerate(gateways):
                place = Place(home_of(gateway, homes), Path(name) / str(number), provider.url)
                place.directory.mkdir()
                await crowd.add(gateway, place, stack)
            for case in effort.cases():
                tell(f"{case.title} …")
                measured += await crowd.measure(case)
    return measured


def home_of(gateway: Gateway, homes: Path) -> Path:
    """Return the directory that a gateway is installed into."""
    return homes / gateway.name.replace(" ", "-").lower()


class _Crowd:
    """Gateways that run, for as long as they do what they are asked."""

    def __init__(self, provider: Provider, effort: Effort, tell: Callable[[str], None]) -> None:
        self._provider = provider
        self._effort = effort
        self._tell = tell
        self._targets: dict[Gateway, Target] = {}
        # Small requests that they answered in closed loop, a second, at best.
        self._most: dict[Gateway, float] = {}

    async def add(self, gateway: Gateway, place: Place, stack: AsyncExitStack) -> None:
        """Start a gateway, that ends with `stack`."""
        try:
            target = await stack.enter_async_context(gateway.start(place))
            await _check_stream(target)
            request = target.request(_SMALL_CONTENT, stream=False)
            warm_up = await closed_loop(request, *self._effort.warm_up)
        except (RuntimeError, OSError) as error:
            self._tell(f"{gateway.name} failed: {error!r}")
        else:
            self._targets[gateway] = target
            self._most[gateway] = warm_up.rate

    async def measure(self, case: Case) -> list[Measured]:
        """Measure one case with every gateway that it suits."""
        gateways = [one for one, target in self._targets.items() if case.suits(one, target)]
        samples = await alternate(
            gateways, self._effort.rounds, lambda gateway: self._sample(gateway, case)
        )
        return [
            Measured(
                gateway.name,
                case,
                [one for one in rounds if one],
                self._peak(gateway),
                governed=gateway.governed,
            )
            for gateway, rounds in zip(gateways, samples, strict=True)
            if gateway in self._targets
        ]

    def _peak(self, gateway: Gateway) -> float:
        return sum(map(tree_peak_memory_mib, self._targets[gateway].pids))

    async def _sample(self, gateway: Gateway, case: Case) -> Sample | None:
        target = self._targets.get(gateway)
        if target is None:
            return None
        try:
            measured = await self._measured(gateway, target, case)
        except (RuntimeError, OSError) as error:
            self._tell(f"{gateway.name} failed: {error!r}")
            del self._targets[gateway]
            return None
        if case.kind == SMALL and case.share is None:
            self._most[gateway] = max(self._most[gateway], measured.load.rate)
        return measured

    async def _measured(self, gateway: Gateway, target: Target, case: Case) -> Sample:
        """Return what a load costs, made again where the generator stalled."""
        try:
            return await self._counted(gateway, target, case)
        except GeneratorStalled as error:
            self._tell(f"made again: {error}")
            return await self._counted(gateway, target, case)

    async def _counted(self, gateway: Gateway, target: Target, case: Case) -> Sample:
        load = self._load(gateway, target, case)
        return await sample(load, {_ALL: target.pids}, self._provider, with_children=True)

    def _load(self, gateway: Gateway, target: Target, case: Case) -> Awaitable[LoadResult]:
        """Return what puts the load of a case on a gateway."""
        seconds = self._effort.seconds
        if case.kind == TYPED:
            assert target.typed
            return call_loop(target.typed, case.connections, seconds)
        content = _LARGE_CONTENT if case.kind == LARGE else _SMALL_CONTENT
        request = target.request(content, stream=case.kind == STREAM)
        if case.share is None:
            return closed_loop(request, case.connections, seconds)
        return open_loop(request, self._most[gateway] * case.share, seconds)


async def _check_stream(target: Target) -> None:
    """Raise a RuntimeError, or a TimeoutError, unless every chunk of a stream comes through."""
    connection = await HttpConnection.open(target.url)
    try:
        async with asyncio.timeout(_STREAM_SECONDS):
            answer = await connection.request(target.request(_SMALL_CONTENT, stream=True).message)
    finally:
        await connection.aclose()
    chunks = answer.body.count(b"data: ")
    if answer.status != _OK or chunks < CHUNKS:
        raise RuntimeError(f"a stream of {CHUNKS} chunks came as {chunks}: {answer.status}")
