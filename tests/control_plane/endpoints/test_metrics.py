"""Metrics of endpoints, on both databases."""

import asyncio

import pytest
from modelserving.worker.v1.metrics_service_pb2 import EndpointCounts

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.metrics import EndpointMetrics
from modelplane.control_plane.errors import NotFound
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.store.database import Database
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
