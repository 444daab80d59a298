"""A change that is tried is refused as the change itself would be, and changes nothing."""

from typing import Any

import pytest
from modelserving.v1 import endpoint_service_pb2 as pb
from sqlalchemy import text

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.servicer import EndpointServicer
from modelplane.control_plane.endpoints.trial import Trial
from modelplane.control_plane.errors import (
    AlreadyExists,
    Conflict,
    InvalidParameter,
    NotFound,
    PermissionDenied,
)
from modelplane.control_plane.principal import Level, Principal, current_principal
from modelplane.control_plane.store.database import Database, current_companion
from modelplane.control_plane.store.states import Phase
from tests.control_plane.configs import config_input, openai_entity
from tests.control_plane.conftest import ALICE, share
from tests.control_plane.endpoints.test_lifecycle import KEY, with_model
from tests.control_plane.rollouts import FakeRollout

BOB = Principal("bob-id", "bob")
CONTEXT: Any = None
OTHER: Any = None


@pytest.fixture
def trial(database: Database, endpoints: Endpoints) -> Trial:
    return Trial(database, endpoints)


def update(
    *entities: dict[str, object], name: str = "chat"
) -> pb.UpdateServingEndpointConfigRequest:
    return pb.UpdateServingEndpointConfigRequest(name=name, config=config_input(*entities))


async def stored(database: Database) -> list[object]:
    """Return all that a change of an endpoint would leave."""
    tables = ("endpoint", "endpoint_config", "credential", "event", "revision")
    async with database.engine.connect() as connection:
        rows = [await connection.execute(text(f"SELECT * FROM {table}")) for table in tables]
        return [row.all() for row in rows]


async def test_what_would_be_created_is_told_and_nothing_is(
    trial: Trial, database: Database, endpoints: Endpoints
) -> None:
    before = await stored(database)
    told = {one.path: one for one in await trial.create(BOB, with_model())}
    model = told["served_entities[chat].external_model.name"]
    assert (model.HasField("from_value"), model.to_value) == (False, '"gpt-4"')
    assert not [path for path in told if "plaintext" in path]
    assert await trial.create(BOB, pb.CreateServingEndpointRequest(name="bare")) == []
    assert await stored(database) == before
    assert current_companion.get() is None
    # The names are free still.
    await endpoints.create(ALICE, with_model())
    with pytest.raises(AlreadyExists):
        await trial.create(ALICE, with_model())


async def test_what_would_be_updated_is_told_and_nothing_changes(
    trial: Trial, database: Database, endpoints: Endpoints, rollout: FakeRollout
) -> None:
    await endpoints.create(ALICE, with_model())
    before = await stored(database)
    [told] = await trial.update(ALICE, update(openai_entity(model="gpt-4o", **KEY)))
    assert told.path == "served_entities[chat].external_model.name"
    assert (told.from_value, told.to_value) == ('"gpt-4"', '"gpt-4o"')
    assert await trial.update(ALICE, update(openai_entity(**KEY))) == []
    assert await stored(database) == before
    rollout.stop_at = Phase.PREPARING
    await endpoints.update_config(ALICE, "chat", config_input(openai_entity("new", **KEY)))
    with pytest.raises(Conflict):
        await trial.update(ALICE, update(openai_entity(**KEY)))


async def test_what_would_be_refused_is_refused(
    trial: Trial, database: Database, endpoints: Endpoints
) -> None:
    with pytest.raises(InvalidParameter, match="name"):
        await trial.create(ALICE, pb.CreateServingEndpointRequest(name="no name"))
    missing = pb.CreateServingEndpointRequest(name="new", config=config_input(openai_entity()))
    with pytest.raises(InvalidParameter, match="my_scope"):
        await trial.create(ALICE, missing)
    await endpoints.create(ALICE, with_model())
    with pytest.raises(NotFound):
        await trial.update(BOB, update(openai_entity(**KEY)))
    await share(database, "chat", BOB, Level.CAN_QUERY)
    with pytest.raises(PermissionDenied):
        await trial.update(BOB, update(openai_entity(**KEY)))


async def test_it_is_one_call_and_no_other(trial: Trial) -> None:
    servicer = EndpointServicer(OTHER, OTHER, OTHER, OTHER, OTHER, OTHER, trial)
    current_principal.set(ALICE)
    create, change = with_model(), update(openai_entity(**KEY))
    made = await servicer.ValidateServingEndpoint(
        pb.ValidateServingEndpointRequest(create=create), CONTEXT
    )
    assert made.differences
    with pytest.raises(NotFound):
        await servicer.ValidateServingEndpoint(
            pb.ValidateServingEndpointRequest(update=change), CONTEXT
        )
    for request in (
        pb.ValidateServingEndpointRequest(),
        pb.ValidateServingEndpointRequest(create=create, update=change),
    ):
        with pytest.raises(InvalidParameter, match="one of 'create' and 'update'"):
            await servicer.ValidateServingEndpoint(request, CONTEXT)
