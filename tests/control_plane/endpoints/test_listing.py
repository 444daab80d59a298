"""Which endpoints are listed for whom, by what is asked of them."""

import base64
from dataclasses import replace
from typing import Any

import pytest
from modelserving.v1.endpoint_pb2 import RecentCalls
from modelserving.v1.endpoint_service_pb2 import (
    CreateServingEndpointRequest,
    ListServingEndpointsRequest,
)
from modelserving.worker.v1.metrics_service_pb2 import EndpointCounts, EntityCounts
from sqlalchemy import event

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.listing import read_listing
from modelplane.control_plane.endpoints.metrics import EndpointMetrics
from modelplane.control_plane.endpoints.servicer import EndpointServicer
from modelplane.control_plane.endpoints.views import build_summary
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.principal import Level, Principal, current_principal
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import changes, lists
from modelplane.control_plane.store.states import Phase
from modelplane.control_plane.store.tables import EndpointRow
from tests.control_plane.configs import hosted_model, hosting_version, new_endpoint, openai_entity
from tests.control_plane.conftest import ALICE, FakeClock, share
from tests.control_plane.endpoints.test_lifecycle import BOB, KEY, request
from tests.control_plane.rollouts import FakeRollout

VIEWER = Principal("77", "vic")


async def listed(endpoints: Endpoints, **asked: object) -> list[str]:
    listing = read_listing(ListServingEndpointsRequest(**asked))  # type: ignore[arg-type]
    return [record.name for record in await endpoints.list_all(VIEWER, listing)]


def model(name: str, task: str = "chat", **fields: object) -> CreateServingEndpointRequest:
    config = {"served_entities": [openai_entity(name, task=f"llm/v1/{task}", **KEY)]}
    return request(name, config=config, **fields)


async def fill(endpoints: Endpoints, database: Database, rollout: FakeRollout) -> None:
    """Make endpoints that differ in each thing that can be asked for."""
    team, flag = {"key": "team", "value": "a"}, {"key": "flag"}
    await endpoints.create(ALICE, request("empty", tags=[team, flag]))
    await endpoints.create(ALICE, model("serving", tags=[{"key": "team", "value": "b"}]))
    await endpoints.create(BOB, model("vectors", "embeddings"))
    rollout.refusal = "no"
    await endpoints.create(ALICE, model("failed"))
    rollout.refusal, rollout.stop_at = "", Phase.PREPARING
    await endpoints.create(ALICE, model("moving"))
    await endpoints.create(BOB, model("hidden"))
    async with database.write() as transaction:
        await changes.insert(transaction, new_endpoint("own", "own"))
        await changes.begin_rollout(transaction, "own", hosting_version(1, hosted_model("a")))
    for name in ("empty", "serving", "vectors", "failed", "moving", "own"):
        await share(database, name, VIEWER, Level.CAN_VIEW)


async def test_each_filter_lists_what_has_it(
    endpoints: Endpoints,
    database: Database,
    rollout: FakeRollout,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await fill(endpoints, database, rollout)
    # What is asked for lies on several of them.
    monkeypatch.setattr(lists, "_PART", 2)
    everything = await listed(endpoints)
    assert everything == ["empty", "failed", "moving", "own", "serving", "vectors"]
    assert await listed(endpoints, ready="READY") == ["serving", "vectors"]
    assert await listed(endpoints, ready="NOT_READY") == ["empty", "failed", "moving", "own"]
    assert await listed(endpoints, config_update="IN_PROGRESS") == ["moving", "own"]
    assert await listed(endpoints, config_update="UPDATE_FAILED") == ["failed"]
    assert await listed(endpoints, config_update="NOT_UPDATING") == ["empty", "serving", "vectors"]
    assert await listed(endpoints, task="llm/v1/embeddings") == ["vectors"]
    assert await listed(endpoints, provider="openai") == ["failed", "moving", "serving", "vectors"]
    assert await listed(endpoints, provider="hosted") == ["own"]
    assert await listed(endpoints, tag="team") == ["empty", "serving"]
    assert await listed(endpoints, tag="team=b") == ["serving"]
    assert await listed(endpoints, tag="flag=") == ["empty"]
    assert await listed(endpoints, creator=BOB.name) == ["vectors"]
    # Together they narrow, and a search does, too.
    assert await listed(endpoints, tag="team", ready="READY", search="ING") == ["serving"]
    assert await listed(endpoints, tag="team", task="llm/v1/embeddings") == []


async def test_a_page_of_a_filtered_list_goes_on_after_the_last(
    endpoints: Endpoints,
    database: Database,
    rollout: FakeRollout,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await fill(endpoints, database, rollout)
    monkeypatch.setattr(lists, "_PART", 2)
    # One more than was asked for tells that there are more.
    assert await listed(endpoints, provider="openai", max_results=2) == [
        "failed",
        "moving",
        "serving",
    ]
    rest = await listed(endpoints, provider="openai", max_results=2, page_token="moving")
    assert rest == ["serving", "vectors"]


async def test_what_is_told_of_an_endpoint_is_what_it_is_found_by(
    endpoints: Endpoints, database: Database, rollout: FakeRollout
) -> None:
    await fill(endpoints, database, rollout)
    for record in await endpoints.list_all(VIEWER):
        shown = build_summary(record, VIEWER)
        for name in ("ready", "config_update"):
            assert record.name in await listed(endpoints, **{name: getattr(shown.state, name)})
        if shown.task:
            assert record.name in await listed(endpoints, task=shown.task)
        assert record.name in await listed(endpoints, creator=shown.creator)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"ready": "YES"}, "'ready' must be one of READY, NOT_READY"),
        ({"config_update": ""}, "'config_update' must be one of NOT_UPDATING, IN_PROGRESS"),
        ({"search": "x" * 64}, "'search' has 64 characters"),
        ({"tag": "x" * 513}, "'tag' has 513 characters"),
        ({"creator": "x" * 513}, "'creator' has 513 characters"),
        ({"creator": "a\0"}, "'creator' must not hold the NUL"),
        ({"max_results": 1_001}, "from 1 to 1000"),
        ({"order_by": "task"}, "'order_by' must be one of name, creator"),
        ({"order_by": "name asc"}, "'order_by' must be"),
        ({"include_recent": True}, "ask for one with 'max_results'"),
    ],
)
def test_what_no_list_can_be_asked_for_is_refused(asked: dict[str, str], expected: str) -> None:
    with pytest.raises(InvalidParameter, match=expected):
        read_listing(ListServingEndpointsRequest(**asked))  # type: ignore[arg-type]


async def pages(
    endpoints: Endpoints, database: Database, who: Principal, **asked: object
) -> list[list[str]]:
    """Return the names on each page of a list of two a page, as clients read it."""
    found: list[list[str]] = []
    servicer = EndpointServicer(
        endpoints,
        OTHER,
        OTHER,
        EndpointMetrics(database, FakeClock()),
        OTHER,
        OTHER,
        OTHER,
    )
    current_principal.set(who)
    token = None
    while token is not None or not found:
        request = ListServingEndpointsRequest(max_results=2, page_token=token, **asked)  # type: ignore[arg-type]
        answer = await servicer.ListServingEndpoints(request, OTHER)
        found.append([endpoint.name for endpoint in answer.endpoints])
        assert answer.total_count == TOTALS.get(who.name)
        token = answer.next_page_token if answer.HasField("next_page_token") else None
    return found


OTHER: Any = None
TOTALS = {"alice": 6, "vic": 4}


async def test_lists_are_read_in_any_order_page_by_page(
    endpoints: Endpoints, database: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two of the same time and creator, whom their names put in order.
    for name, creator, seconds in (
        ("b", BOB, 1),
        ("databricks-model", ALICE, 1),
        ("C", ALICE, 1),
        ("a", BOB, 0),
        ("e_e", ALICE, 5),
        ("d", ALICE, 1),
    ):
        clock.now_ms += seconds * 1000
        async with database.write() as transaction:
            new = new_endpoint(name, name)
            made = replace(
                new, creator=creator.name, creator_id=creator.id, created_ms=clock.now_ms
            )
            await changes.insert(transaction, made)
    for name in ("d", "C", "databricks-model", "a"):
        await share(database, name, VIEWER, Level.CAN_VIEW)
    monkeypatch.setattr(lists, "_PART", 2)

    async def read(who: Principal = ALICE, **asked: object) -> list[str]:
        found = await pages(endpoints, database, who, **asked)
        assert all(len(page) == 2 for page in found[:-1])
        return [name for page in found for name in page]

    assert await read() == ["databricks-model", "C", "a", "b", "d", "e_e"]
    assert await read(order_by="name") == ["C", "a", "b", "d", "databricks-model", "e_e"]
    assert await read(order_by="name desc") == ["e_e", "databricks-model", "d", "b", "a", "C"]
    in_time = ["b", "databricks-model", "C", "a", "e_e", "d"]
    # Those of one moment are by name.
    in_time[2:4] = ["C", "a"]
    assert await read(order_by="creation_timestamp") == in_time
    assert await read(order_by="creation_timestamp desc") == in_time[::-1]
    assert await read(order_by="last_updated_timestamp desc") == in_time[::-1]
    by_creator = ["C", "d", "databricks-model", "e_e", "a", "b"]
    assert await read(order_by="creator") == by_creator
    assert await read(order_by="creator desc") == by_creator[::-1]
    assert await read(VIEWER) == ["databricks-model", "C", "a", "d"]
    assert await read(VIEWER, order_by="creator") == ["C", "d", "databricks-model", "a"]
    # An underscore is one, and no sign for any letter.
    TOTALS["alice"] = 1
    assert await read(search="_") == ["e_e"]
    TOTALS["alice"] = 2
    assert await read(creator="bob", order_by="name desc") == ["b", "a"]
    TOTALS["alice"] = 6


@pytest.mark.parametrize("order", ["", "name", "creator desc", "creation_timestamp"])
async def test_who_sees_little_of_much_is_read_little(
    endpoints: Endpoints, database: Database, order: str
) -> None:
    async with database.write() as transaction:
        for number in range(40):
            await changes.insert(transaction, new_endpoint(f"e{number:02}", f"e{number:02}"))
    await share(database, "e07", VIEWER, Level.CAN_VIEW)
    await share(database, "e31", VIEWER, Level.CAN_VIEW)
    rows = 0

    def count(*_: object) -> None:
        nonlocal rows
        rows += 1

    event.listen(EndpointRow, "load", count)
    try:
        found = await listed(endpoints, max_results=5, order_by=order)
        assert sorted(found) == ["e07", "e31"]
    finally:
        event.remove(EndpointRow, "load", count)
    assert rows == 2


async def test_recent_calls_are_told_of_a_page(
    endpoints: Endpoints, database: Database, clock: FakeClock
) -> None:
    made = [await endpoints.create(ALICE, request(name)) for name in ("a", "b")]
    metrics = EndpointMetrics(database, clock)
    counts = [EntityCounts(served_entity_name="x", requests={200: 3, 404: 2, 503: 1})]
    counts.append(EntityCounts(served_entity_name="y", requests={200: 4}))
    for number in (1, 2):
        reported = EndpointCounts(endpoint_id=made[0].id, entities=counts, in_flight=number)
        await metrics.add(f"worker-{number}", 1, [reported])
    servicer = EndpointServicer(endpoints, OTHER, OTHER, metrics, OTHER, OTHER, OTHER)
    current_principal.set(ALICE)
    asked = ListServingEndpointsRequest(max_results=5, include_recent=True)
    first, second = (await servicer.ListServingEndpoints(asked, OTHER)).endpoints
    expected = RecentCalls(requests=20, client_errors=4, server_errors=2, in_flight=3)
    assert first.recent == expected
    assert second.recent == RecentCalls()
    assert second.HasField("recent")
    clock.now_ms += 120_000
    first, second = (await servicer.ListServingEndpoints(asked, OTHER)).endpoints
    assert first.recent == RecentCalls()
    # Who does not ask is answered as ever.
    whole = await servicer.ListServingEndpoints(ListServingEndpointsRequest(), OTHER)
    assert not any(endpoint.HasField("recent") for endpoint in whole.endpoints)
    assert not whole.HasField("total_count")
    filtered = ListServingEndpointsRequest(max_results=5, ready="READY")
    assert not (await servicer.ListServingEndpoints(filtered, OTHER)).HasField("total_count")


def token_of(place: bytes) -> str:
    return "." + base64.urlsafe_b64encode(place).decode()


CREATION = b'["creation_timestamp",1,"a"]'


@pytest.mark.parametrize(
    ("order_by", "token"),
    [
        ("creation_timestamp", "x"),
        ("creation_timestamp", "."),
        ("creation_timestamp", "é"),
        ("creation_timestamp", token_of(b"[]")),
        ("creation_timestamp", token_of(CREATION).removeprefix(".")),
        ("creation_timestamp", token_of(b'["creation_timestamp","1","a"]')),
        ("creation_timestamp", token_of(b'["creation_timestamp",9223372036854775808,"a"]')),
        ("creation_timestamp", token_of(b'["creation_timestamp",1,"a\\u0000"]')),
        ("creation_timestamp desc", token_of(CREATION)),
        ("last_updated_timestamp", token_of(CREATION)),
        ("name", token_of(b'["creator","alice","a"]')),
        ("", token_of(CREATION)),
    ],
)
def test_a_token_of_another_order_is_refused(order_by: str, token: str) -> None:
    with pytest.raises(InvalidParameter, match="'page_token' must be"):
        read_listing(ListServingEndpointsRequest(page_token=token, order_by=order_by))


def test_a_token_of_this_order_is_read() -> None:
    asked = ListServingEndpointsRequest(
        page_token=token_of(CREATION), order_by="creation_timestamp"
    )
    assert read_listing(asked).after == lists.Place("a", 1)
