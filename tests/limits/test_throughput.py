"""What is provisioned of an entity holds over all workers, at all times, and can be used."""

import asyncio
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from modelplane.adapters.providers.types import Query, Usage
from modelplane.adapters.providers.unavailable import UnavailableAdapter
from modelplane.control_plane.limits.quota import Demand, pour
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.quota import Counter
from modelplane.data_plane.errors import ThroughputExceeded
from modelplane.data_plane.limits.admission import Ending
from modelplane.data_plane.limits.bucket import BURST_SECONDS
from modelplane.data_plane.limits.quota_metrics import QuotaMetrics
from modelplane.data_plane.limits.throughput import Part, ThroughputGate
from modelplane.data_plane.snapshots.snapshot import ServedEntity, Throughput
from tests.effort import times
from tests.limits.simulation import START, Simulation, Worker, simulation

RATE = 80
BURST = RATE * BURST_SECONDS
PROMPT = 10
SECONDS = times(15, 300)
PROVISIONED = Throughput(b"k" * 16, RATE)
ENTITY = ServedEntity("smol", "", "llm/v1/chat", UnavailableAdapter("smol"), ())


def query(max_tokens: int | None) -> Query:
    body: dict[str, object] = {"messages": [{"role": "user", "content": "x" * 24}]}
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    return Query(body, stream=False)


@dataclass
class Clients:
    """Clients who ask again and again, and what comes of it."""

    world: Simulation
    random: Random
    gates: list[ThroughputGate] = field(default_factory=list)
    # When a query was admitted, and what it uses.
    used: list[tuple[float, int]] = field(default_factory=list)
    refusals: list[ThroughputExceeded] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.gates = [gate_of(worker, self.world) for worker in self.world.workers]

    def start(self, count: int, tokens: tuple[int, int], *, bounded: bool) -> None:
        for _ in range(count):
            self.tasks.add(asyncio.create_task(self._ask(tokens, bounded=bounded)))

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def total(self) -> int:
        return sum(used for _, used in self.used)

    async def _ask(self, tokens: tuple[int, int], *, bounded: bool) -> None:
        time, random = self.world.time, self.random
        while True:
            await time.sleep(random.uniform(0, 0.5))
            answer = random.randint(*tokens)
            gate = random.choice(self.gates)
            try:
                asked = query(answer if bounded else None)
                part = await gate.admit(PROVISIONED, ENTITY, asked)
            except ThroughputExceeded as error:
                self.refusals.append(error)
                await time.sleep(error.retry_after or 0)
                continue
            self.used.append((time.now - START, part.prompt + answer))
            await time.sleep(random.uniform(0.2, 3.0))
            part.settle(Usage(part.prompt, answer), Ending.ANSWERED)


def gate_of(worker: Worker, world: Simulation) -> ThroughputGate:
    metrics = QuotaMetrics(CollectorRegistry())
    return ThroughputGate(worker.leases, metrics, lambda: world.time.now)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("workers", [1, 2, 4])
async def test_no_more_is_sent_than_is_provisioned_and_all_of_that_can_be(
    database: Database, workers: int
) -> None:
    async with simulation(database, workers=workers, seed=workers) as world:
        clients = Clients(world, Random(workers))
        # Answers as long as they may be, so that what is used is known when a query is admitted.
        clients.start(20, (30, 30), bounded=True)
        await world.run(SECONDS, step=0.1)
        await clients.stop()
    sent = 0
    for seconds, tokens in clients.used:
        sent += tokens
        assert sent <= BURST + RATE * seconds + 1
    assert sent >= 0.95 * RATE * SECONDS
    assert clients.refusals
    assert all(1 <= (error.retry_after or 0) <= 60 for error in clients.refusals)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("workers", [2])
async def test_answers_of_unknown_length_are_paid_for(database: Database, workers: int) -> None:
    async with simulation(database, workers=workers, seed=workers) as world:
        clients = Clients(world, Random(workers))
        clients.start(20, (1, 150), bounded=False)
        await world.run(2 * SECONDS, step=0.1)
        await clients.stop()
    # No more than a bucket on top, and what was under way when the bucket ran out.
    assert 0.95 * RATE * 2 * SECONDS <= clients.total() <= 2 * BURST + RATE * 2 * SECONDS


async def admitted(gate: ThroughputGate, world: Simulation, max_tokens: int) -> Part:
    task = asyncio.create_task(gate.admit(PROVISIONED, ENTITY, query(max_tokens)))
    while not task.done():
        await world.run(0.05)
    return task.result()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_is_used_beyond_is_owed_and_what_is_not_used_is_given_back(
    database: Database,
) -> None:
    async with simulation(database, workers=1) as world:
        gate = gate_of(world.workers[0], world)
        part = await admitted(gate, world, 10_000)
        # It takes no more than the bucket has, and is let in all the same.
        assert part.wanted <= BURST
        part.settle(Usage(PROMPT, 5 * BURST), Ending.ANSWERED)
        with pytest.raises(ThroughputExceeded, match="80 tokens per second; try again in") as owed:
            await admitted(gate, world, 10)
        assert 15 <= (owed.value.retry_after or 0) <= 25
        await world.run(owed.value.retry_after or 0)
        part = await admitted(gate, world, 10)
        part.settle(None, Ending.FAILED)
        await world.run(BURST_SECONDS)
        # The bucket is full again, and a query may have all of it.
        part = await admitted(gate, world, 10_000)
        assert part.taken == part.wanted == BURST


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_a_query_may_use_is_taken_while_nothing_else_is_known(
    database: Database,
) -> None:
    async with simulation(database, workers=1) as world:
        gate = gate_of(world.workers[0], world)
        first = await admitted(gate, world, 200)
        assert first.wanted == PROMPT + 200
        first.settle(Usage(PROMPT, 20), Ending.ANSWERED)
        # Answers are usually shorter than they may be.
        assert (await admitted(gate, world, 200)).wanted < PROMPT + 100


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_without_a_control_plane_nothing_is_counted(database: Database) -> None:
    async with simulation(database, workers=1) as world:
        gate = gate_of(world.workers[0], world)
        world.network.down = {0}
        for _ in range(10):
            part = await admitted(gate, world, 50)
        assert part.taken is None


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),  # the worker
            st.integers(0, 4_000),  # milliseconds before it asks
            st.integers(0, 300),  # what it needs
            st.integers(0, 300),  # what it would like beyond
            st.integers(0, 300),  # what it returns, of what it has
            st.integers(0, 50),  # what it owes
        ),
        max_size=60,
    )
)
def test_a_bucket_grants_what_it_held_and_what_flowed_in(
    asks: list[tuple[int, int, int, int, int, int]],
) -> None:
    counter, now, begun = Counter(), 1_000_000, 1_000_000
    held, spent = [0, 0, 0, 0], 0
    for worker, later, needed, more, back, owed in asks:
        now += later
        returned = min(back, held[worker])
        demand = Demand(b"", BURST, needed, needed + more, returned=returned, debt=owed, rate=RATE)
        grant = pour(counter, demand, now, workers=4)
        assert grant.granted >= 0
        held[worker] += grant.granted - returned
        spent += owed
        if grant.granted:
            # What is owed may exceed what there is, and then is paid before anything is granted.
            assert (sum(held) + spent) * 1000 <= BURST * 1000 + RATE * (now - begun)
