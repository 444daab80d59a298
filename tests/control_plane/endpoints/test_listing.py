"""Which endpoints are listed for whom, by what is asked of them."""

import pytest
from modelserving.v1.endpoint_service_pb2 import (
    CreateServingEndpointRequest,
    ListServingEndpointsRequest,
)

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.listing import read_listing
from modelplane.control_plane.endpoints.views import build_summary
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import changes, records
from modelplane.control_plane.store.states import Phase
from tests.control_plane.configs import hosted_model, hosting_version, new_endpoint, openai_entity
from tests.control_plane.conftest import ALICE, share
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
    monkeypatch.setattr(records, "_PAGE", 2)
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
    monkeypatch.setattr(records, "_PAGE", 2)
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
    ],
)
def test_what_no_list_can_be_asked_for_is_refused(asked: dict[str, str], expected: str) -> None:
    with pytest.raises(InvalidParameter, match=expected):
        read_listing(ListServingEndpointsRequest(**asked))  # type: ignore[arg-type]
