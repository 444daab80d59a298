"""Workers and control planes in one process, on a time of their own, over a network that fails.

The control planes count in a real database; the workers' gates are the real ones. What is
simulated is time, and what lies between the two.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from modelserving.worker.v1.quota_service_pb2 import LeaseQuotaRequest, LeaseQuotaResponse
from modelserving.worker.v1.snapshot_pb2 import EndpointResource
from prometheus_client import CollectorRegistry

from modelplane.adapters.providers.types import Query, Task
from modelplane.adapters.shared.rpc.control_link import LinkDown
from modelplane.control_plane.limits.quota import WINDOW_MS, Quota
from modelplane.control_plane.limits.quota_servicer import QuotaServicer
from modelplane.control_plane.shared_clock import SharedClock
from modelplane.control_plane.store.database import Database
from modelplane.data_plane.calls.tasks import TaskSpec, spec_of
from modelplane.data_plane.errors import LimitExceeded, LimitsUnavailable
from modelplane.data_plane.limits.admission import Admission
from modelplane.data_plane.limits.gate import LimitGate
from modelplane.data_plane.limits.quota_contact import Contact, WhenAway
from modelplane.data_plane.limits.quota_leases import QuotaLeases
from modelplane.data_plane.limits.quota_metrics import QuotaMetrics
from modelplane.data_plane.process import Clocks
from modelplane.data_plane.snapshots.callers import Principal
from modelplane.data_plane.snapshots.compilation import compile_endpoint
from modelplane.data_plane.snapshots.limits import Rule
from modelplane.data_plane.snapshots.snapshot import Endpoint

ALICE = Principal("id-alice", "alice")
ASK = Query({"messages": [{"role": "user", "content": "hello there"}]}, stream=False)
START = 1_000_000.0 * 60


def endpoint(**limits: Any) -> Endpoint:
    """Return an endpoint with limits as in the API."""
    minute = {"renewal_period": "minute"}
    resource = EndpointResource(id="id-chat", name="chat")
    for name, items in limits.items():
        target = resource.rate_limits if name == "rate_limits" else resource.ai_gateway.rate_limits
        for item in items:
            target.add(**{"key": "endpoint", **minute, **item})
    return compile_endpoint(resource, None, Random(1))[0]


def spec_for(query: Query) -> TaskSpec:
    return spec_of(Task.EMBEDDINGS if "input" in query.body else Task.CHAT)


class Time:
    """Seconds since the epoch; stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + seconds, future))
        await future

    def move(self, seconds: float) -> None:
        self.now += seconds
        due = [item for item in self._sleepers if item[0] <= self.now]
        self._sleepers = [item for item in self._sleepers if item[0] > self.now]
        for _, future in due:
            if not future.done():
                future.set_result(None)


@dataclass
class Network:
    """What lies between workers and control planes.

    Attributes:
        delay: Longest time that a message takes, seconds.
        loss: Share of the calls whose question, or whose answer, is lost.
        down: Control planes that do not answer.
        calls: Calls in a control plane at the moment.
        total: Calls made.
    """

    time: Time
    planes: Sequence[QuotaServicer]
    random: Random
    delay: float = 0.004
    loss: float = 0.0
    down: set[int] = field(default_factory=set)
    calls: int = 0
    total: int = 0

    async def call(self, request: LeaseQuotaRequest) -> LeaseQuotaResponse:
        await self._travel()
        for number in range(len(self.planes)):
            if number in self.down:
                continue
            self.calls += 1
            self.total += 1
            try:
                response = await self.planes[number].LeaseQuota(request, None)  # type: ignore[arg-type]
            finally:
                self.calls -= 1
            await self._travel()
            return response
        raise LinkDown("all are down")

    async def _travel(self) -> None:
        if self.random.random() < self.loss:
            await self.time.sleep(2.0)
            raise LinkDown("lost")
        await self.time.sleep(self.random.uniform(0, self.delay))


class Source:
    """A worker's way to the control planes; while it is paused, no answer reaches it."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.running = asyncio.Event()
        self.running.set()

    async def lease(self, request: LeaseQuotaRequest) -> LeaseQuotaResponse:
        response = await self._network.call(request)
        await self.running.wait()
        return response


class Worker:
    """A worker's limiter; its clock began at another time than all others."""

    def __init__(
        self,
        name: str,
        network: Network,
        when_away: WhenAway = WhenAway.CONTINUE,
        away_seconds: float = 300.0,
        most_plans: int = 1_000,
    ) -> None:
        random = Random(name)
        offset = random.uniform(-START, START)
        time = network.time
        self.registry = CollectorRegistry()
        clocks = Clocks(lambda: time.now + offset, time.sleep, random)
        metrics = QuotaMetrics(self.registry)
        self.source = Source(network)
        self.contact = Contact(when_away, away_seconds)
        self.leases = QuotaLeases(name, self.source, self.contact, metrics, clocks)
        # Endpoint and limit of each refusal.
        self.refused: list[tuple[str, Rule]] = []
        self.gate = LimitGate(
            self.leases,
            self.contact,
            metrics,
            clocks.monotonic,
            most_plans,
            lambda endpoint_id, rule: self.refused.append((endpoint_id, rule)),
        )
        self.queries: set[asyncio.Task[Admission | None]] = set()
        self.tasks = [
            asyncio.create_task(self.leases.run()),
            asyncio.create_task(self.leases.tick()),
        ]

    @property
    def away(self) -> float | None:
        return self.registry.get_sample_value("modelplane_limits_away")

    @property
    def held(self) -> int:
        return sum(counter.available for counter in self.leases._counters.values())

    def kill(self) -> None:
        """Stop without a word, as a process that is killed does."""
        for task in (*self.tasks, *self.queries):
            task.cancel()

    def pause(self, *, paused: bool) -> None:
        """Let no answer through, as to a process that is stopped; its clock goes on."""
        if paused:
            self.source.running.clear()
        else:
            self.source.running.set()


@dataclass
class Simulation:
    """Counts what is admitted in each window of the database's time."""

    time: Time
    network: Network
    workers: list[Worker] = field(default_factory=list)
    admitted: Counter[int] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    # Refused although the window had admitted less than this, which a test sets.
    early: Counter[int] = field(default_factory=Counter)
    limit: int = 0
    unavailable: Counter[int] = field(default_factory=Counter)
    pending: set["asyncio.Task[Admission | None]"] = field(default_factory=set)

    @property
    def window(self) -> int:
        return int(self.time.now * 1000) // WINDOW_MS

    def start_worker(self, name: str, *options: Any) -> Worker:
        worker = Worker(name, self.network, *options)
        self.workers.append(worker)
        return worker

    def send(
        self, worker: Worker, endpoint: Endpoint, principal: Principal = ALICE, query: Query = ASK
    ) -> "asyncio.Task[Admission | None]":
        """Send a query; it is counted where it was admitted."""
        task = asyncio.create_task(self._admit(worker, endpoint, principal, query))
        for tasks in (self.pending, worker.queries):
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        return task

    async def ask(
        self, worker: Worker, endpoint: Endpoint, principal: Principal = ALICE, query: Query = ASK
    ) -> Any:
        """Send a query and return the admission or the error."""
        task = asyncio.ensure_future(worker.gate.admit(endpoint, principal, query, spec_for(query)))
        for _ in range(1_000):
            if task.done():
                break
            await self.run(0.005)
        try:
            return await task
        except (LimitExceeded, LimitsUnavailable) as error:
            return error

    async def run(self, seconds: float, step: float = 0.05) -> None:
        """Let time pass."""
        end = self.time.now + seconds
        while self.time.now < end - 1e-9:
            self.time.move(min(step, end - self.time.now))
            await self.settle()

    async def next_window(self) -> None:
        """Let time pass until just after the current window."""
        await self.run(60 - self.time.now % 60 + 0.02, step=0.5)

    async def settle(self) -> None:
        """Let everything happen that can without time passing."""
        for _ in range(6):
            await asyncio.sleep(0)
        while self.network.calls:
            await asyncio.sleep(0.0005)
            for _ in range(6):
                await asyncio.sleep(0)

    async def finish(self) -> None:
        """Let time pass until no query waits."""
        while self.pending:
            await self.run(0.01)

    async def _admit(
        self, worker: Worker, endpoint: Endpoint, principal: Principal, query: Query
    ) -> Admission | None:
        try:
            admission = await worker.gate.admit(endpoint, principal, query, spec_for(query))
        except LimitExceeded:
            self.refused[self.window] += 1
            self.early[self.window] += self.admitted[self.window] < self.limit
        except LimitsUnavailable:
            self.unavailable[self.window] += 1
        else:
            self.admitted[self.window] += 1
            return admission
        return None


@asynccontextmanager
async def simulation(
    database: Database, *, workers: int = 1, planes: int = 1, seed: int = 1
) -> AsyncIterator[Simulation]:
    """Yield workers and control planes over one database."""
    time = Time()
    clock_ms = lambda: int(time.now * 1000)  # noqa: E731 - a clock
    servicers = [QuotaServicer(Quota(database, SharedClock(clock_ms))) for _ in range(planes)]
    world = Simulation(time, Network(time, servicers, Random(seed)))
    for number in range(workers):
        world.start_worker(f"worker-{seed}-{number}")
    try:
        yield world
    finally:
        for worker in world.workers:
            worker.kill()
        for task in world.pending:
            task.cancel()
        await asyncio.gather(*world.pending, return_exceptions=True)
