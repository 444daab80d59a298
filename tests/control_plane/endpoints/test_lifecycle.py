import asyncio

import pytest
from google.protobuf import json_format
from modelserving.v1.endpoint_pb2 import EndpointConfigInput, ServingEndpoint
from modelserving.v1.endpoint_service_pb2 import CreateServingEndpointRequest
from sqlmodel import select

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.views import build_endpoint
from modelplane.control_plane.errors import (
    AlreadyExists,
    Conflict,
    ControlPlaneError,
    InvalidParameter,
    NotFound,
    NotSupported,
    PermissionDenied,
)
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints.records import StoredEndpoint, load_endpoints
from modelplane.control_plane.store.events import read_events
from modelplane.control_plane.store.states import Phase
from modelplane.control_plane.store.tables import CredentialRow, EndpointConfigRow
from tests.control_plane.configs import config_input, openai_entity
from tests.control_plane.conftest import ALICE, FakeClock, share
from tests.control_plane.rollouts import FakeRollout

BOB = Principal("bob-id", "bob")
KEY = {"openai_api_key_plaintext": "sk-1"}


def request(name: str = "chat", **fields: object) -> CreateServingEndpointRequest:
    return json_format.ParseDict({"name": name, **fields}, CreateServingEndpointRequest())


def with_model(name: str = "chat", **fields: object) -> CreateServingEndpointRequest:
    return request(name, config={"served_entities": [openai_entity(**KEY)]}, **fields)


def view(record: StoredEndpoint) -> ServingEndpoint:
    return build_endpoint(record, ALICE)


def states(record: StoredEndpoint) -> tuple[str, str]:
    state = view(record).state
    return state.ready, state.config_update


async def event_keys(database: Database, after: int = 0) -> list[str]:
    async with database.read() as session:
        return [event.key for event in await read_events(session, after, 10_000)]


async def key_of(database: Database, sealer: Sealer, version: int) -> str:
    """Return the API key that the workers get with a version of the only endpoint."""
    async with database.read() as session:
        (stored,) = await load_endpoints(session, None)
        row = await session.get_one(EndpointConfigRow, (stored.id, version))
        assert b"sk-" not in row.config
        assert stored.active is not None
        resolved = await CredentialResolver(sealer).resolve(
            session, stored.id, stored.active.config
        )
    model = resolved.served_entities[0].external_model
    return model.openai_config.openai_api_key_plaintext


async def test_a_created_endpoint_is_ready_and_complete(
    endpoints: Endpoints, clock: FakeClock
) -> None:
    record = await endpoints.create(
        ALICE,
        with_model(
            description="what",
            tags=[{"key": "team", "value": "gen-ai"}],
            rate_limits=[{"calls": 100, "key": "user", "renewal_period": "minute"}],
        ),
    )
    assert json_format.MessageToDict(view(record), preserving_proto_field_name=True) == {
        "name": "chat",
        "creator": "alice",
        "creation_timestamp": clock.now_ms,
        "last_updated_timestamp": clock.now_ms,
        "state": {
            "ready": "READY",
            "config_update": "NOT_UPDATING",
            "suspend": "NOT_SUSPENDED",
            "system_update_failure": False,
        },
        "config": {
            "served_entities": [
                served := {
                    **openai_entity(),
                    "external_model": {
                        "name": "gpt-4",
                        "provider": "openai",
                        "task": "llm/v1/chat",
                        "openai_config": {},
                    },
                    "state": {"deployment": "DEPLOYMENT_READY"},
                    "creator": "alice",
                    "creation_timestamp": clock.now_ms,
                    "type": "EXTERNAL_MODEL",
                }
            ],
            "served_models": [served],
            "traffic_config": {
                "routes": [
                    {
                        "served_model_name": "chat",
                        "served_entity_name": "chat",
                        "traffic_percentage": 100,
                    }
                ]
            },
            "config_version": 1,
        },
        "tags": [{"key": "team", "value": "gen-ai"}],
        "id": record.id,
        "permission_level": "CAN_MANAGE",
        "task": "llm/v1/chat",
        "endpoint_type": "EXTERNAL_MODEL",
        "creator_display_name": "alice",
        "creator_kind": "User",
        "description": "what",
        "route_optimized": False,
    }
    assert len(record.id) == 32
    assert await endpoints.get(ALICE, "chat") == record


async def test_the_given_key_reaches_the_workers_and_nobody_else(
    endpoints: Endpoints, database: Database, sealer: Sealer
) -> None:
    record = await endpoints.create(ALICE, with_model())
    assert "sk-1" not in str(view(record))
    assert "sk-1" not in repr(record)
    assert await key_of(database, sealer, 1) == "sk-1"


async def test_an_endpoint_may_begin_without_a_model(
    endpoints: Endpoints, database: Database
) -> None:
    record = await endpoints.create(ALICE, request())
    assert states(record) == ("NOT_READY", "NOT_UPDATING")
    assert not view(record).HasField("config")
    assert not view(record).HasField("pending_config")
    assert await event_keys(database) == [record.id]
    updated = await endpoints.update_config(ALICE, "chat", config_input(openai_entity(**KEY)))
    assert states(updated) == ("READY", "NOT_UPDATING")
    assert view(updated).config.config_version == 1


async def test_a_name_is_taken_once(endpoints: Endpoints) -> None:
    await endpoints.create(ALICE, with_model())
    with pytest.raises(AlreadyExists, match="'chat' already exists"):
        await endpoints.create(ALICE, with_model())
    await endpoints.delete(ALICE, "chat")
    assert (await endpoints.create(ALICE, with_model())).last_version == 1
    assert len(await endpoints.list_all(ALICE)) == 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"name": "a b"}, InvalidParameter, "letters, digits"),
        ({"config": {}}, InvalidParameter, "no served_entities"),
        ({"config": {"served_entities": []}}, InvalidParameter, "no served_entities"),
        ({"description": "a\0"}, InvalidParameter, "no NUL"),
        ({"description": "a" * 4097}, InvalidParameter, "at most 4096 characters"),
        ({"tags": [{"key": "a"}] * 21}, InvalidParameter, "at most 20"),
        ({"rate_limits": [{"renewal_period": "minute"}]}, InvalidParameter, "calls is required"),
        ({"ai_gateway": {"fallback_config": {}}}, InvalidParameter, "fallback_config.enabled"),
        (
            {"config": {"served_entities": [{"entity_name": "c.s.m", "entity_version": "1"}]}},
            NotSupported,
            "This deployment hosts no models",
        ),
        (
            {"config": {"served_entities": [openai_entity()]}},
            InvalidParameter,
            r"\{\{secrets/my_scope/my_openai_api_key\}\}, which does not exist",
        ),
    ],
)
async def test_a_refused_creation_leaves_nothing(
    endpoints: Endpoints,
    database: Database,
    change: dict[str, object],
    error: type[ControlPlaneError],
    message: str,
) -> None:
    fields: dict[str, object] = {"name": "chat", **change}
    with pytest.raises(error, match=message):
        await endpoints.create(ALICE, json_format.ParseDict(fields, CreateServingEndpointRequest()))
    assert await endpoints.list_all(ALICE) == []
    assert await event_keys(database) == []


async def test_the_old_configuration_is_shown_until_the_new_one_is_active(
    endpoints: Endpoints, rollout: FakeRollout, clock: FakeClock
) -> None:
    await endpoints.create(ALICE, with_model())
    for phase in (Phase.PREPARING, Phase.ACTIVATING):
        rollout.stop_at = phase
        if phase is Phase.PREPARING:
            clock.now_ms += 5
            given = config_input(openai_entity("new", **KEY))
            record = await endpoints.update_config(ALICE, "chat", given)
        else:
            await rollout.wait_settled(record.id)
            record = await endpoints.get(ALICE, "chat")
        assert record.phase is phase
        assert states(record) == ("READY", "IN_PROGRESS")
        shown = view(record)
        assert shown.config.config_version == 1
        assert shown.config.served_entities[0].state.deployment == "DEPLOYMENT_READY"
        assert shown.pending_config.config_version == 2
        assert shown.pending_config.start_time == clock.now_ms
        assert shown.pending_config.served_entities[0].name == "new"
        assert shown.pending_config.served_entities[0].state.deployment == "DEPLOYMENT_CREATING"
    rollout.stop_at = Phase.SETTLED
    await rollout.wait_settled(record.id)
    record = await endpoints.get(ALICE, "chat")
    assert states(record) == ("READY", "NOT_UPDATING")
    assert view(record).config.config_version == 2
    assert not view(record).HasField("pending_config")


async def test_a_second_update_is_refused_while_one_is_in_progress(
    endpoints: Endpoints, rollout: FakeRollout
) -> None:
    await endpoints.create(ALICE, with_model())
    rollout.stop_at = Phase.PREPARING
    given = config_input(openai_entity(**KEY))
    await endpoints.update_config(ALICE, "chat", given)
    with pytest.raises(Conflict, match="currently being updated"):
        await endpoints.update_config(ALICE, "chat", given)
    with pytest.raises(Conflict, match="currently being updated"):
        await endpoints.rollback(ALICE, "chat", 1)
    assert (await endpoints.get(ALICE, "chat")).last_version == 2


async def test_a_failed_update_keeps_the_old_configuration_and_says_why(
    endpoints: Endpoints, rollout: FakeRollout
) -> None:
    await endpoints.create(ALICE, with_model())
    rollout.refusal = "Worker w1 refused the configuration: no"
    given = config_input(openai_entity("new", **KEY))
    shown = view(await endpoints.update_config(ALICE, "chat", given))
    assert (shown.state.ready, shown.state.config_update) == ("READY", "UPDATE_FAILED")
    assert shown.state.config_update_message == rollout.refusal
    assert shown.config.config_version == 1
    failed = shown.pending_config.served_entities[0].state
    assert failed.deployment == "DEPLOYMENT_FAILED"
    assert failed.deployment_state_message == rollout.refusal
    rollout.refusal = ""
    shown = view(await endpoints.update_config(ALICE, "chat", given))
    assert (shown.state.config_update, shown.config.config_version) == ("NOT_UPDATING", 3)
    assert not shown.state.HasField("config_update_message")
    assert not shown.HasField("pending_config")


async def test_an_endpoint_whose_first_configuration_failed_stays(
    endpoints: Endpoints, rollout: FakeRollout
) -> None:
    rollout.refusal = "no"
    record = await endpoints.create(ALICE, with_model())
    assert states(record) == ("NOT_READY", "UPDATE_FAILED")
    assert not view(record).HasField("config")
    assert view(record).task == "llm/v1/chat"
    rollout.refusal = ""
    record = await endpoints.update_config(ALICE, "chat", config_input(openai_entity(**KEY)))
    assert states(record) == ("READY", "NOT_UPDATING")
    assert view(record).config.config_version == 2


async def test_an_update_can_be_cancelled_until_the_workers_switch(
    endpoints: Endpoints, rollout: FakeRollout, database: Database
) -> None:
    record = await endpoints.create(ALICE, with_model())
    with pytest.raises(Conflict, match="no update in progress"):
        await endpoints.cancel_update(ALICE, "chat")
    rollout.stop_at = Phase.PREPARING
    given = config_input(openai_entity("new", **KEY))
    await endpoints.update_config(ALICE, "chat", given)
    before = len(await event_keys(database))
    cancelled = await endpoints.cancel_update(ALICE, "chat")
    assert states(cancelled) == ("READY", "UPDATE_CANCELED")
    assert view(cancelled).config.config_version == 1
    assert not view(cancelled).HasField("pending_config")
    assert await event_keys(database, before) == [record.id]
    await endpoints.update_config(ALICE, "chat", given)
    rollout.stop_at = Phase.ACTIVATING
    await rollout.wait_settled(record.id)
    with pytest.raises(Conflict, match="can no longer be cancelled"):
        await endpoints.cancel_update(ALICE, "chat")
    assert view(await endpoints.get(ALICE, "chat")).pending_config.config_version == 3


async def test_a_traffic_split_alone_keeps_models_and_credentials(
    endpoints: Endpoints, database: Database, sealer: Sealer
) -> None:
    two = [openai_entity("a", **KEY), openai_entity("b", **KEY)]

    def split(a: int, b: int) -> dict[str, object]:
        routes = [
            {"served_model_name": "a", "traffic_percentage": a},
            {"served_entity_name": "b", "traffic_percentage": b},
        ]
        return {"routes": routes}

    config = {"served_entities": two, "traffic_config": split(50, 50)}
    created = await endpoints.create(ALICE, request(config=config))
    given = config_input(traffic_config=split(0, 100))
    updated = await endpoints.update_config(ALICE, "chat", given)
    old, new = view(created).config, view(updated).config
    assert [route.traffic_percentage for route in new.traffic_config.routes] == [0, 100]
    assert [route.served_model_name for route in new.traffic_config.routes] == ["a", "b"]
    assert new.served_entities == old.served_entities
    assert await key_of(database, sealer, 2) == "sk-1"
    with pytest.raises(InvalidParameter, match="add up to 90"):
        await endpoints.update_config(ALICE, "chat", config_input(traffic_config=split(0, 90)))


async def test_a_traffic_split_needs_something_to_split(endpoints: Endpoints) -> None:
    await endpoints.create(ALICE, request())
    routes = [{"served_model_name": "a", "traffic_percentage": 100}]
    with pytest.raises(InvalidParameter, match="serves nothing yet"):
        await endpoints.update_config(
            ALICE, "chat", config_input(traffic_config={"routes": routes})
        )
    with pytest.raises(InvalidParameter, match="no served_entities"):
        await endpoints.update_config(ALICE, "chat", EndpointConfigInput())


async def test_an_endpoint_cannot_lose_its_external_model(endpoints: Endpoints) -> None:
    await endpoints.create(ALICE, with_model())
    hosted = config_input({"entity_name": "c.s.m", "entity_version": 1})
    with pytest.raises(InvalidParameter, match="serves external models and cannot be updated"):
        await endpoints.update_config(ALICE, "chat", hosted)


async def test_entities_that_an_update_leaves_alone_keep_their_history(
    endpoints: Endpoints, clock: FakeClock
) -> None:
    await endpoints.create(ALICE, with_model())
    first = clock.now_ms
    clock.now_ms += 1000
    routes = [{"served_model_name": name, "traffic_percentage": 50} for name in ("chat", "more")]
    given = config_input(
        openai_entity(**KEY), openai_entity("more", **KEY), traffic_config={"routes": routes}
    )
    carol = Principal("carol-id", "carol", admin=True)
    kept, added = view(await endpoints.update_config(carol, "chat", given)).config.served_entities
    assert (kept.creator, kept.creation_timestamp) == ("alice", first)
    assert (added.creator, added.creation_timestamp) == ("carol", clock.now_ms)
    changed = config_input(openai_entity(model="gpt-4o", **KEY))
    (entity,) = view(await endpoints.update_config(carol, "chat", changed)).config.served_entities
    assert entity.creator == "carol"


async def test_rolling_back_makes_a_new_version_with_the_old_content_and_key(
    endpoints: Endpoints, database: Database, sealer: Sealer
) -> None:
    created = await endpoints.create(ALICE, with_model())
    changed = config_input(openai_entity(model="gpt-4o", openai_api_key_plaintext="sk-2"))
    await endpoints.update_config(ALICE, "chat", changed)
    assert await key_of(database, sealer, 2) == "sk-2"
    record = await endpoints.rollback(ALICE, "chat", 1)
    assert view(record).config.config_version == 3
    assert view(record).config.served_entities == view(created).config.served_entities
    assert await key_of(database, sealer, 3) == "sk-1"
    with pytest.raises(NotFound, match="no configuration version 9"):
        await endpoints.rollback(ALICE, "chat", 9)


async def test_deleting_removes_versions_and_credentials_and_tells_the_workers(
    endpoints: Endpoints, database: Database, rollout: FakeRollout
) -> None:
    record = await endpoints.create(ALICE, with_model())
    before = len(await event_keys(database))
    await endpoints.delete(ALICE, "chat")
    with pytest.raises(NotFound, match="'chat' does not exist"):
        await endpoints.get(ALICE, "chat")
    assert await event_keys(database, before) == [record.id]
    assert rollout.applied == [before + 1]
    async with database.read() as session:
        assert (await session.exec(select(CredentialRow))).all() == []
        assert (await session.exec(select(EndpointConfigRow))).all() == []


@pytest.mark.parametrize("level", [Level.NONE, Level.CAN_VIEW, Level.CAN_QUERY])
async def test_whoever_has_no_permission_changes_nothing(
    endpoints: Endpoints, database: Database, level: Level
) -> None:
    await endpoints.create(ALICE, with_model())
    await share(database, "chat", BOB, level)
    if level:
        record = await endpoints.get(BOB, "chat")
        assert build_endpoint(record, BOB).permission_level == level.name
    assert [item.name for item in await endpoints.list_all(BOB)] == (["chat"] if level else [])
    given = config_input(openai_entity(**KEY))
    refused = (
        endpoints.update_config(BOB, "chat", given),
        endpoints.rollback(BOB, "chat", 1),
        endpoints.cancel_update(BOB, "chat"),
        endpoints.delete(BOB, "chat"),
    )
    for call in refused:
        if level:
            with pytest.raises(PermissionDenied, match="'bob' needs CAN_MANAGE"):
                await call
        else:
            with pytest.raises(NotFound, match="'chat' does not exist"):
                await call
    own = await endpoints.create(BOB, with_model("own"))
    assert build_endpoint(own, BOB).permission_level == "CAN_MANAGE"
    await endpoints.delete(BOB, "own")


async def test_an_unknown_endpoint_is_said_to_be(endpoints: Endpoints) -> None:
    calls = (
        endpoints.get(ALICE, "none"),
        endpoints.update_config(ALICE, "none", config_input(openai_entity(**KEY))),
        endpoints.cancel_update(ALICE, "none"),
        endpoints.rollback(ALICE, "none", 1),
        endpoints.delete(ALICE, "none"),
    )
    for call in calls:
        with pytest.raises(NotFound, match="'none' does not exist"):
            await call


async def test_a_nul_character_does_no_harm(endpoints: Endpoints) -> None:
    with pytest.raises(NotFound):
        await endpoints.get(ALICE, "a\0")
    with pytest.raises(NotFound):
        await endpoints.delete(ALICE, "a\0")
    tags = [{"key": "a\0", "value": "\0"}]
    record = await endpoints.create(ALICE, with_model(tags=tags))
    assert record.settings.tags[0].key == "a\0"


async def test_of_two_updates_at_once_one_is_made(
    endpoints: Endpoints, rollout: FakeRollout
) -> None:
    await endpoints.create(ALICE, with_model())
    rollout.stop_at = Phase.PREPARING
    given = config_input(openai_entity("new", **KEY))
    results = await asyncio.gather(
        *(endpoints.update_config(ALICE, "chat", given) for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(result, StoredEndpoint) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 3
    record = await endpoints.get(ALICE, "chat")
    assert (record.last_version, record.phase) == (2, Phase.PREPARING)


async def test_of_two_creations_at_once_one_is_made(endpoints: Endpoints) -> None:
    results = await asyncio.gather(
        *(endpoints.create(ALICE, with_model()) for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(result, StoredEndpoint) for result in results) == 1
    assert sum(isinstance(result, AlreadyExists) for result in results) == 3


async def test_updates_in_a_row_are_versions_in_a_row(endpoints: Endpoints) -> None:
    await endpoints.create(ALICE, with_model())
    for version in range(2, 12):
        given = config_input(openai_entity(model=f"gpt-{version}", **KEY))
        shown = view(await endpoints.update_config(ALICE, "chat", given))
        assert shown.config.config_version == version
        assert shown.config.served_entities[0].external_model.name == f"gpt-{version}"
