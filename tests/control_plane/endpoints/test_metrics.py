"""Metrics of endpoints, on both databases."""

import asyncio

import pytest
from modelserving.worker.v1.metrics_service_pb2 import EndpointCounts
from sqlmodel import select

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.metrics import EndpointMetrics
from modelplane.control_plane.errors import NotFound
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints.metrics import read_totals
from modelplane.control_plane.store.tables import MetricsReporterRow
from tests.control_plane.conftest import ALICE, FakeClock, share
from tests.control_plane.endpoints.test_lifecycle import with_model
from tests.control_plane.endpoints.test_totals import report

BOB = Principal("bob-id", "bob")


@pytest.fixture
async def endpoint_id(endpoints: Endpoints) -> str:
    return (await endpoints.create(ALICE, with_model())).id


@pytest.fixture
def metrics(database: Database, clock: FakeClock) -> EndpointMetrics:
    return EndpointMetrics(database, clock)


def counts(endpoint_id: str, **requests: int) -> EndpointCounts:
    message = report(entity="chat", **requests)
    message.endpoint_id = endpoint_id
    return message


def answering(endpoint_id: str, queries: int) -> EndpointCounts:
    return EndpointCounts(endpoint_id=endpoint_id, in_flight=queries)


async def test_without_a_call_all_is_zero(metrics: EndpointMetrics, endpoint_id: str) -> None:
    assert endpoint_id
    view = await metrics.read(ALICE, "chat")
    assert [(name, item.requests) for name, item in view.entities.items()] == [("chat", {})]
    assert (view.endpoint, view.last_minute, view.in_flight) == ("chat", {}, 0)


async def test_replicas_add_to_the_same_totals(
    database: Database, clock: FakeClock, endpoint_id: str
) -> None:
    replicas = [EndpointMetrics(database, clock) for _ in range(3)]
    # Each worker asks all replicas, as when answers are lost.
    await asyncio.gather(
        *(
            replica.add(f"worker-{worker}", sequence, [counts(endpoint_id, _200=2, _500=1)])
            for worker in range(4)
            for sequence in (1,)
            for replica in replicas
        )
    )
    for replica in replicas:
        view = await replica.read(ALICE, "chat")
        assert view.entities["chat"].requests == {"200": 8, "500": 4}
        assert view.last_minute["chat"].server_errors == 4


async def test_a_report_that_comes_twice_counts_once(
    metrics: EndpointMetrics, endpoint_id: str
) -> None:
    for sequence in (1, 1, 2, 1, 2):
        await metrics.add("a", sequence, [counts(endpoint_id, _200=1)])
    assert (await metrics.read(ALICE, "chat")).entities["chat"].requests == {"200": 2}
    # A process that was started again counts from one.
    await metrics.add("a-restarted", 1, [counts(endpoint_id, _200=1)])
    assert (await metrics.read(ALICE, "chat")).entities["chat"].requests == {"200": 3}


async def test_what_a_dead_worker_was_answering_is_not_in_flight_for_ever(
    metrics: EndpointMetrics, endpoint_id: str, clock: FakeClock
) -> None:
    async def in_flight() -> int:
        return (await metrics.read(ALICE, "chat")).in_flight

    await metrics.add("a", 1, [answering(endpoint_id, 3), answering("another", 7)])
    clock.now_ms += 10_000
    await metrics.add("b", 1, [answering(endpoint_id, 2)])
    assert await in_flight() == 5
    clock.now_ms += 6_000
    assert await in_flight() == 2
    await metrics.add("b", 2, [answering(endpoint_id, 0)])
    assert await in_flight() == 0
    # Nor does one count whose report is of a time that is yet to come.
    clock.now_ms -= 3_600_000
    assert await in_flight() == 0


async def test_what_is_stored_of_an_endpoint_does_not_grow_with_the_workers(
    metrics: EndpointMetrics, database: Database, endpoint_id: str, clock: FakeClock
) -> None:
    async def stored() -> int:
        async with database.read() as session:
            return len(await read_totals(session, endpoint_id))

    for worker in range(100, 200):
        await metrics.add(f"w{worker}", 1, [counts(endpoint_id, _200=1)])
        if worker == 100:
            first = await stored()
    assert await stored() < first + 20
    # Processes that are long gone are forgotten.
    clock.now_ms += 25 * 3600 * 1000
    await metrics.add("new", 1, [counts(endpoint_id, _200=1)])
    async with database.read() as session:
        assert (await session.exec(select(MetricsReporterRow.id))).all() == ["new"]


async def test_what_was_counted_for_endpoints_that_are_gone_is_dropped(
    metrics: EndpointMetrics, endpoints: Endpoints, endpoint_id: str
) -> None:
    both = [counts("nothing", _200=1), counts(endpoint_id, _200=1)]
    await metrics.add("worker", 1, both)
    assert (await metrics.read(ALICE, "chat")).entities["chat"].requests == {"200": 1}
    await endpoints.delete(ALICE, "chat")
    await metrics.add("worker", 2, both)
    await endpoints.create(ALICE, with_model())
    assert (await metrics.read(ALICE, "chat")).entities["chat"].requests == {}


async def test_only_those_who_see_the_endpoint_see_its_metrics(
    metrics: EndpointMetrics, database: Database, endpoint_id: str
) -> None:
    assert endpoint_id
    with pytest.raises(NotFound):
        await metrics.read(BOB, "chat")
    await share(database, "chat", BOB, Level.CAN_VIEW)
    assert (await metrics.read(BOB, "chat")).endpoint == "chat"
