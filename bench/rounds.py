"""Measures what load costs, system after system in alternating rounds.

A machine's speed changes from minute to minute: rounds show by how much, and what is compared is
never further apart than a round. `bench/load.py` makes the load; `bench/provider.py` counts what of
it arrived.
"""

import asyncio
import resource
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import TypeVar

from bench.load import LoadResult
from bench.mock_provider import Counts
from bench.processes import CpuCount, busy_seconds
from bench.provider import Provider

# Workers deliver usage rows each second: what a load leaves to be done belongs to it.
_SETTLE_SECONDS = 1.2
# Of a process that ends, what it takes after the last look is lost.
_LOOK_SECONDS = 0.5
PROVIDER = "provider"
_System = TypeVar("_System")
_Measured = TypeVar("_Measured")


@dataclass(frozen=True, slots=True)
class Sample:
    """What one load cost."""

    load: LoadResult
    # CPU time by group of processes, in seconds; `PROVIDER` is one more.
    cpu_seconds: Mapping[str, float]
    # What the provider answered: also what was on its way when the load ended.
    served: Counts
    # CPUs that were busy with neither the system, its load nor its provider.
    others: float

    def micros(self, per: str, *groups: str) -> float:
        """Return the CPU time, in microseconds, of those of some groups that there are.

        Args:
            per: `request` or `chunk`, as the provider counts, or `answer`, as the load does: for a
                system that asks no provider.
            groups: Their names.
        """
        served = {"request": self.served.requests, "chunk": self.served.chunks}
        count = served.get(per, self.load.requests)
        seconds = sum(self.cpu_seconds.get(group, 0.0) for group in groups)
        return seconds * 1e6 / count if count else float("nan")


@dataclass(frozen=True, slots=True)
class Spread:
    """What rounds came to."""

    median: float
    least: float
    most: float


def spread_of(values: Iterable[float]) -> Spread:
    """Return the median of some values, the least and the most."""
    known = list(values)
    return Spread(median(known), min(known), max(known))


async def alternate(
    systems: Sequence[_System], rounds: int, measure: Callable[[_System], Awaitable[_Measured]]
) -> list[list[_Measured]]:
    """Measure each system in each round, and return the rounds of each."""
    measured: list[list[_Measured]] = [[] for _ in systems]
    for number in range(rounds):
        # Another one begins each time, so that none is always behind the same neighbour.
        for step in range(len(systems)):
            place = (number + step) % len(systems)
            measured[place].append(await measure(systems[place]))
    return measured


async def sample(
    load: Awaitable[LoadResult],
    groups: Mapping[str, Sequence[int]],
    provider: Provider,
    *,
    with_children: bool = False,
) -> Sample:
    """Run a load and return what it cost; processes may end meanwhile, as those of databases do.

    Args:
        load: Puts the load on a system and ends with it.
        groups: The system's processes, in groups by name.
        provider: The one that the system asks.
        with_children: Whether what those processes have started, and start, counts with them.
    """
    everyone = {name: CpuCount(pids, with_children=with_children) for name, pids in groups.items()}
    everyone[PROVIDER] = CpuCount([provider.pid])
    counts, started = await provider.counts(), perf_counter()
    before, others = _used(everyone), busy_seconds() - _own_seconds()
    looking = asyncio.create_task(_look(everyone))
    try:
        result = await load
        await asyncio.sleep(_SETTLE_SECONDS)
    finally:
        looking.cancel()
    used = {name: seconds - before[name] for name, seconds in _used(everyone).items()}
    others = busy_seconds() - _own_seconds() - others - sum(used.values())
    elapsed, served = perf_counter() - started, await provider.counts() - counts
    return Sample(result, used, served, others / elapsed)


async def _look(groups: Mapping[str, CpuCount]) -> None:
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        _used(groups)


def _used(groups: Mapping[str, CpuCount]) -> dict[str, float]:
    return {name: count.seconds() for name, count in groups.items()}


def _own_seconds() -> float:
    """Return the CPU time of this process and of the generators that have ended."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
