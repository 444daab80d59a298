import pytest
from google.protobuf import json_format
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig, AiGatewayRateLimit
from modelserving.v1.endpoint_pb2 import EndpointTag, RateLimit

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.setting_changes import SettingChanges
from modelplane.control_plane.errors import (
    AlreadyExists,
    InvalidParameter,
    NotFound,
    PermissionDenied,
)
from modelplane.control_plane.principal import Level, Principal, PrincipalKind
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints.records import load_endpoints
from modelplane.control_plane.store.events import read_head
from modelplane.control_plane.store.states import Phase
from modelplane.control_plane.store.tables import GroupRow, PrincipalRow
from tests.control_plane.configs import config_input, openai_entity
from tests.control_plane.conftest import ALICE, share
from tests.control_plane.endpoints.test_lifecycle import KEY, with_model
from tests.control_plane.rollouts import FakeRollout

LIMIT = RateLimit(calls=10, key="user", renewal_period="minute")
GATEWAY = json_format.ParseDict(
    {"rate_limits": [{"calls": 1, "key": "endpoint", "renewal_period": "minute"}]},
    AiGatewayConfig(),
)
BOB = Principal("bob-id", "bob")
CAROL = Principal("carol-id", "carol")


@pytest.fixture(autouse=True)
async def chat(endpoints: Endpoints) -> None:
    await endpoints.create(ALICE, with_model())


async def revision(database: Database) -> int:
    async with database.read() as session:
        return (await read_head(session)).revision


async def test_tags_are_added_overwritten_and_deleted(
    settings: SettingChanges, endpoints: Endpoints, database: Database
) -> None:
    before = await revision(database)
    first = [EndpointTag(key="a", value="1"), EndpointTag(key="b"), EndpointTag(key="c")]
    assert await settings.patch_tags(ALICE, "chat", first, []) == first
    changed = [EndpointTag(key="d"), EndpointTag(key="a", value="2")]
    tags = await settings.patch_tags(ALICE, "chat", changed, ["b", "unknown"])
    assert tags == [EndpointTag(key="a", value="2"), EndpointTag(key="c"), EndpointTag(key="d")]
    assert (await endpoints.get(ALICE, "chat")).settings.tags == tags
    assert await settings.patch_tags(ALICE, "chat", [], []) == tags
    assert await revision(database) == before


async def test_tags_that_are_refused_change_nothing(
    settings: SettingChanges, endpoints: Endpoints
) -> None:
    with pytest.raises(InvalidParameter, match="both added and deleted: a"):
        await settings.patch_tags(ALICE, "chat", [EndpointTag(key="a")], ["a"])
    many = [EndpointTag(key=f"k{n}") for n in range(15)]
    await settings.patch_tags(ALICE, "chat", many, [])
    with pytest.raises(InvalidParameter, match="would have 21 tags"):
        more = [EndpointTag(key=f"more{n}") for n in range(6)]
        await settings.patch_tags(ALICE, "chat", more, [])
    assert (await endpoints.get(ALICE, "chat")).settings.tags == many


async def test_aliases_are_pushed_and_belong_to_one_endpoint(
    settings: SettingChanges, endpoints: Endpoints, database: Database, rollout: FakeRollout
) -> None:
    def aliases(value: str) -> list[EndpointTag]:
        return [EndpointTag(key="aliases", value=value)]

    before = await revision(database)
    await settings.patch_tags(ALICE, "chat", aliases("gpt-4o, claude-x gpt-4o"), [])
    assert await revision(database) == before + 1
    assert rollout.applied[-1] == before + 1
    await endpoints.create(ALICE, with_model("other"))
    for value in ("gpt-4o", "chat", "mine,claude-x"):
        with pytest.raises(AlreadyExists, match="of another endpoint"):
            await settings.patch_tags(ALICE, "other", aliases(value), [])
    with pytest.raises(AlreadyExists, match="'gpt-4o' is an alias"):
        await endpoints.create(ALICE, with_model("gpt-4o"))
    for value in ("a b*", "-a", "a\x00"):
        with pytest.raises(InvalidParameter, match="Tag 'aliases'"):
            await settings.patch_tags(ALICE, "other", aliases(value), [])
    # What one has given up, another may take.
    await settings.patch_tags(ALICE, "chat", [], ["aliases"])
    await settings.patch_tags(ALICE, "other", aliases("gpt-4o,other"), [])
    await endpoints.delete(ALICE, "other")
    await settings.patch_tags(ALICE, "chat", aliases("gpt-4o"), [])


async def test_rate_limits_are_replaced_and_pushed(
    settings: SettingChanges, database: Database, rollout: FakeRollout
) -> None:
    before = await revision(database)
    assert await settings.put_rate_limits(ALICE, "chat", [LIMIT]) == [LIMIT]
    assert await settings.get_rate_limits(ALICE, "chat") == [LIMIT]
    async with database.read() as session:
        (stored,) = await load_endpoints(session, None)
    assert stored.settings.rate_limits == [LIMIT]
    assert rollout.applied == [before + 1] == [await revision(database)]
    assert await settings.put_rate_limits(ALICE, "chat", []) == []
    assert await settings.get_rate_limits(ALICE, "chat") == []


async def test_the_gateway_is_replaced_and_pushed(
    settings: SettingChanges, endpoints: Endpoints, database: Database, rollout: FakeRollout
) -> None:
    before = await revision(database)
    assert await settings.get_ai_gateway(ALICE, "chat") == AiGatewayConfig()
    assert await settings.put_ai_gateway(ALICE, "chat", GATEWAY) == GATEWAY
    assert await settings.get_ai_gateway(ALICE, "chat") == GATEWAY
    assert (await endpoints.get(ALICE, "chat")).settings.ai_gateway == GATEWAY
    async with database.read() as session:
        (stored,) = await load_endpoints(session, None)
    assert stored.settings.ai_gateway == GATEWAY
    assert rollout.applied == [before + 1]
    assert await settings.put_ai_gateway(ALICE, "chat", AiGatewayConfig()) == AiGatewayConfig()
    assert not (await endpoints.get(ALICE, "chat")).settings.HasField("ai_gateway")


async def test_a_refused_gateway_changes_nothing(settings: SettingChanges) -> None:
    await settings.put_ai_gateway(ALICE, "chat", GATEWAY)
    bad = json_format.ParseDict({"rate_limits": [{"calls": 1}]}, AiGatewayConfig())
    with pytest.raises(InvalidParameter, match="renewal_period"):
        await settings.put_ai_gateway(ALICE, "chat", bad)
    assert await settings.get_ai_gateway(ALICE, "chat") == GATEWAY


async def test_settings_may_change_during_an_update(
    settings: SettingChanges, endpoints: Endpoints, rollout: FakeRollout
) -> None:
    rollout.stop_at = Phase.PREPARING
    await endpoints.update_config(ALICE, "chat", config_input(openai_entity(**KEY)))
    await settings.put_rate_limits(ALICE, "chat", [LIMIT])
    await settings.patch_tags(ALICE, "chat", [EndpointTag(key="a")], [])
    record = await endpoints.get(ALICE, "chat")
    assert record.phase is Phase.PREPARING
    assert record.settings.rate_limits == [LIMIT]


async def test_who_may_not_and_what_is_not(settings: SettingChanges, database: Database) -> None:
    cases = ((BOB, "chat", NotFound), (CAROL, "chat", PermissionDenied), (ALICE, "none", NotFound))
    await share(database, "chat", CAROL, Level.CAN_QUERY)
    for principal, name, error in cases:
        calls = (
            settings.patch_tags(principal, name, [], []),
            settings.put_rate_limits(principal, name, [LIMIT]),
            settings.put_ai_gateway(principal, name, GATEWAY),
        )
        for call in calls:
            with pytest.raises(error):
                await call
    for read in (settings.get_rate_limits(ALICE, "none"), settings.get_ai_gateway(ALICE, "none")):
        with pytest.raises(NotFound):
            await read


@pytest.mark.parametrize(
    ("key", "principal", "word"),
    [
        ("user", "nobody@example.com", "user"),
        ("user", "team", "user"),
        ("user_group", "dora", "group"),
        ("service_principal", "nope", "service principal"),
        ("user", "do\0ra", "user"),
    ],
)
async def test_a_limit_for_nobody_is_refused(
    settings: SettingChanges,
    endpoints: Endpoints,
    database: Database,
    key: str,
    principal: str,
    word: str,
) -> None:
    async with database.write() as transaction:
        transaction.session.add(
            PrincipalRow(id="d", kind=PrincipalKind.USER, name="dora", created_ms=1)
        )
        transaction.session.add(GroupRow(id="t", name="Team", created_ms=1))
    limit = {"calls": 1, "key": key, "principal": principal, "renewal_period": "minute"}
    gateway = json_format.ParseDict({"rate_limits": [limit]}, AiGatewayConfig())
    with pytest.raises(InvalidParameter, match=f"there is no {word} '"):
        await settings.put_ai_gateway(ALICE, "chat", gateway)
    with pytest.raises(InvalidParameter, match=f"there is no {word} '"):
        await endpoints.create(ALICE, with_model("other", ai_gateway={"rate_limits": [limit]}))
    # Whatever the case of the letters.
    for kind, name in (("user", "Dora"), ("user_group", "team")):
        good = AiGatewayRateLimit(calls=1, key=kind, principal=name, renewal_period="minute")
        await settings.put_ai_gateway(ALICE, "chat", AiGatewayConfig(rate_limits=[good]))
