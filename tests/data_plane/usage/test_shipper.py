"""What is in the journal reaches the control plane, and is forgotten only then."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from modelserving.worker.v1.usage_service_pb2 import (
    RecordUsageRequest,
    UsageEntry,
    UsageOutcome,
)
from prometheus_client import CollectorRegistry

from modelplane.adapters.shared.rpc.control_link import LinkDown
from modelplane.data_plane.process import Clocks
from modelplane.data_plane.usage.journal import Journal, Ticket
from modelplane.data_plane.usage.journal_metrics import JournalMetrics
from modelplane.data_plane.usage.shipper import (
    BATCH,
    SIGN_OF_LIFE_SECONDS,
    TAKE_OVER_SECONDS,
    UsageShipper,
)
from tests.data_plane.fakes import FakeClock

SEGMENT = 1 << 16


class FakeSink:
    """Takes batches, but for the first `failures`, which arrive without being acknowledged."""

    def __init__(self) -> None:
        self.requests: list[RecordUsageRequest] = []
        self.sent: list[RecordUsageRequest] = []
        self.failures = 0
        self.bugs = 0

    async def send(self, request: bytes) -> None:
        self.requests.append(RecordUsageRequest.FromString(request))
        self.sent.append(self.requests[-1])
        if self.bugs:
            self.bugs -= 1
            raise ZeroDivisionError
        if self.failures:
            self.failures -= 1
            raise LinkDown("away")

    @property
    def entries(self) -> list[UsageEntry]:
        return [entry for request in self.requests for entry in request.entries]

    def take(self) -> list[tuple[str, int]]:
        """Return names and statuses of what came since; 0 is under way, -1 unknown."""
        found = [(entry.request_id, _status(entry)) for entry in self.entries]
        self.requests.clear()
        return found


def _status(entry: UsageEntry) -> int:
    if not entry.HasField("outcome"):
        return 0
    return -1 if entry.outcome.unknown else entry.outcome.status_code


class Worker:
    """A journal and its shipper."""

    def __init__(self, root: Path, clock: FakeClock, sink: FakeSink) -> None:
        self.registry = CollectorRegistry()
        metrics = JournalMetrics(self.registry)
        self.journal = Journal(root, metrics, clock, max_bytes=1 << 30, segment_bytes=SEGMENT)
        clocks = Clocks(clock, self._sleep, Random(1))
        self.shipper = UsageShipper(self.journal, root, sink, clocks, metrics)
        self.slept: list[float] = []

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def begin(self, name: str) -> Ticket:
        key = self.journal.new_key()
        ticket = self.journal.begin(key, UsageEntry(key=key, request_id=name).SerializeToString())
        assert ticket
        return ticket

    def end(self, ticket: Ticket, status: int = 200) -> None:
        outcome = UsageEntry(outcome=UsageOutcome(status_code=status))
        self.journal.end(ticket, outcome.SerializeToString())

    def die(self) -> None:
        """Leave everything as a killed process would."""
        self.journal.close()


@pytest.fixture
def sink() -> FakeSink:
    return FakeSink()


@pytest.fixture
def worker(tmp_path: Path, clock: FakeClock, sink: FakeSink) -> Iterator[Worker]:
    worker = Worker(tmp_path, clock, sink)
    yield worker
    worker.die()


async def test_a_query_that_has_ended_is_one_entry(worker: Worker, sink: FakeSink) -> None:
    ticket = worker.begin("a")
    worker.end(ticket, 429)
    await worker.shipper.ship()
    [entry] = sink.entries
    assert (entry.key, entry.request_id, entry.outcome.status_code) == (ticket.key, "a", 429)
    assert sink.requests[0].journal_id == worker.journal.id
    await worker.shipper.ship()
    assert len(sink.requests) == 1
    assert worker.registry.get_sample_value("modelplane_usage_shipped_total") == 1


async def test_a_long_query_is_told_of_before_it_ends(worker: Worker, sink: FakeSink) -> None:
    ticket = worker.begin("long")
    await worker.shipper.ship()
    assert sink.take() == []
    await worker.shipper.ship()
    assert sink.take() == [("long", 0)]
    await worker.shipper.ship()
    assert sink.take() == []
    worker.end(ticket)
    await worker.shipper.ship()
    assert sink.take() == [("long", 200)]


async def test_a_worker_with_nothing_but_long_queries_gives_signs_of_life(
    worker: Worker, sink: FakeSink, clock: FakeClock
) -> None:
    worker.begin("long")
    await worker.shipper.ship()
    await worker.shipper.ship()
    assert sink.take() == [("long", 0)]
    clock.now += SIGN_OF_LIFE_SECONDS
    await worker.shipper.ship()
    [request] = sink.requests
    assert (request.journal_id, len(request.entries)) == (worker.journal.id, 0)


async def test_a_worker_without_queries_is_silent(
    worker: Worker, sink: FakeSink, clock: FakeClock
) -> None:
    clock.now += 3600
    await worker.shipper.ship()
    assert sink.requests == []


async def test_what_is_not_acknowledged_is_sent_again(worker: Worker, sink: FakeSink) -> None:
    for number in range(BATCH + 1):
        worker.end(worker.begin(str(number)))
    sink.failures = 3
    await worker.shipper.ship()
    sizes = [len(request.entries) for request in sink.requests]
    assert sum(sizes[3:]) == BATCH + 1
    assert sink.requests[:3] == [sink.requests[3]] * 3
    assert len(worker.slept) == 3
    assert worker.registry.get_sample_value("modelplane_usage_ship_failures_total") == 3


async def test_what_comes_while_a_batch_is_sent_is_in_the_next(
    worker: Worker, sink: FakeSink
) -> None:
    worker.end(worker.begin("before"))
    sink.failures = 1
    shipping = asyncio.create_task(worker.shipper.ship())
    while not sink.requests:
        await asyncio.sleep(0)
    worker.end(worker.begin("meanwhile"))
    await shipping
    assert sink.take() == [("before", 200)] * 2
    await worker.shipper.ship()
    assert sink.take() == [("meanwhile", 200)]


async def test_no_request_is_larger_than_the_control_plane_takes(
    worker: Worker, sink: FakeSink
) -> None:
    long = "x" * 20_000
    for _ in range(200):
        worker.end(worker.begin(long))
    await worker.shipper.ship()
    assert [name for name, _ in sink.take()] == [long] * 200
    assert max(request.ByteSize() for request in sink.sent) <= 1 << 20


async def test_a_bug_with_one_batch_does_not_end_the_shipping(
    worker: Worker, sink: FakeSink
) -> None:
    worker.end(worker.begin("a"))
    sink.bugs = 1
    running = asyncio.create_task(worker.shipper.run())
    async with asyncio.timeout(120):
        while len(sink.requests) < 2:
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.wait([running])
    assert sink.take() == [("a", 200)] * 2


async def test_segments_are_deleted_once_they_are_shipped(worker: Worker, sink: FakeSink) -> None:
    while len(worker.journal.segments) < 3:
        worker.end(worker.begin("x" * 500))
    await worker.shipper.ship()
    assert len(worker.journal.segments) == 1
    sink.requests.clear()
    worker.end(worker.begin("last"))
    await worker.shipper.finish()
    assert sink.take() == [("last", 200)]
    assert worker.journal.segments == []


async def test_a_batch_that_was_broken_off_is_sent_at_the_end(
    worker: Worker, sink: FakeSink
) -> None:
    worker.end(worker.begin("a"))
    sink.failures = 1 << 30
    shipping = asyncio.create_task(worker.shipper.ship())
    while not sink.requests:
        await asyncio.sleep(0)
    shipping.cancel()
    await asyncio.wait([shipping])
    sink.failures = 0
    sink.requests.clear()
    await worker.shipper.finish()
    assert sink.take() == [("a", 200)]


async def test_what_was_read_but_not_sent_is_sent_at_the_end(
    worker: Worker, sink: FakeSink
) -> None:
    for number in range(BATCH):
        worker.end(worker.begin(str(number)))
    shipping = asyncio.create_task(worker.shipper.ship())
    # It reads in pieces, between which others run.
    while not worker.journal.segments[0].reader.position:
        await asyncio.sleep(0)
    shipping.cancel()
    await asyncio.wait([shipping])
    assert sink.requests == []
    await worker.shipper.finish()
    assert sorted(int(name) for name, _ in sink.take()) == list(range(BATCH))


async def test_what_a_dead_worker_left_is_shipped_and_closed(
    tmp_path: Path, clock: FakeClock, sink: FakeSink, worker: Worker
) -> None:
    dead = Worker(tmp_path, clock, sink)
    while len(dead.journal.segments) < 2:
        dead.end(dead.begin("done"))
    dead.begin("lost")
    written = sink_size(dead)
    dead.die()
    await worker.shipper.take_over()
    assert {request.journal_id for request in sink.requests} == {dead.journal.id}
    found = sink.take()
    assert sorted(found) == [("done", 200)] * (written - 1) + [("lost", -1)]
    assert names(tmp_path) == [worker.journal.id.hex()]


async def test_dead_workers_are_looked_for_now_and_then(
    tmp_path: Path, clock: FakeClock, sink: FakeSink, worker: Worker
) -> None:
    await worker.shipper.take_over()
    dead = Worker(tmp_path, clock, sink)
    dead.begin("lost")
    dead.die()
    await worker.shipper.take_over()
    assert sink.take() == []
    clock.now += TAKE_OVER_SECONDS
    await worker.shipper.take_over()
    assert sink.take() == [("lost", -1)]


async def test_an_outcome_whose_intent_was_destroyed_keeps_its_key(
    tmp_path: Path, clock: FakeClock, sink: FakeSink, worker: Worker
) -> None:
    dead = Worker(tmp_path, clock, sink)
    ticket = dead.begin("a")
    dead.end(ticket)
    dead.die()
    with ticket.segment.path.open("r+b") as file:
        file.seek(30)
        file.write(b"\xff")
    await worker.shipper.take_over()
    [entry] = sink.entries
    assert (entry.key, entry.request_id, entry.outcome.status_code) == (ticket.key, "", 200)


async def test_everything_written_is_on_the_disk_after_a_sync(worker: Worker) -> None:
    worker.begin("a")
    assert not worker.journal.segments[0].is_synced
    await worker.shipper.sync()
    assert worker.journal.segments[0].is_synced


def names(root: Path) -> list[str]:
    return [path.name for path in root.iterdir()]


def sink_size(worker: Worker) -> int:
    """Return how many queries a journal has."""
    total = 0
    for segment in worker.journal.segments:
        total += len(segment.reader.read(1 << 20, segment.position))
        total += len(segment.reader.unfinished)
    return total
