from collections.abc import Mapping

import pytest
from modelserving.store.v1.settings_pb2 import EndpointSettings
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig, UsageTrackingConfig
from modelserving.v1.endpoint_pb2 import EndpointConfig, EndpointTag, RateLimit
from sqlmodel import select

from modelplane.control_plane.principal import Level
from modelplane.control_plane.store.database import Database, Transaction
from modelplane.control_plane.store.endpoints import changes, lists, records
from modelplane.control_plane.store.endpoints.lists import Selection
from modelplane.control_plane.store.endpoints.records import StoredVersion
from modelplane.control_plane.store.states import LastUpdate, Outcome, Phase
from modelplane.control_plane.store.tables import EndpointRow, SecretReferenceRow
from tests.control_plane.configs import new_endpoint, new_version, openai_entity, stored_config

SETTINGS = EndpointSettings(
    description="what",
    tags=[EndpointTag(key="team", value="gen-ai"), EndpointTag(key="bare")],
    rate_limits=[RateLimit(calls=0, key="user", renewal_period="minute")],
    ai_gateway=AiGatewayConfig(usage_tracking_config=UsageTrackingConfig(enabled=True)),
)


def anyone(_grants: Mapping[str, Level]) -> bool:
    return True


async def insert(transaction: Transaction, endpoint_id: str) -> None:
    await changes.insert(transaction, new_endpoint(endpoint_id, settings=SETTINGS))


async def begin(transaction: Transaction, endpoint_id: str, version: int) -> int:
    config = stored_config(openai_entity(f"v{version}"), version=version)
    return await changes.begin_rollout(transaction, endpoint_id, new_version(config))


def config_of(version: StoredVersion | None) -> EndpointConfig | None:
    return version.config if version else None


async def settle(database: Database, endpoint_id: str, version: int) -> None:
    async with database.write() as transaction:
        row = await transaction.session.get_one(EndpointRow, endpoint_id)
        row.active_version, row.pending_version, row.phase = version, None, Phase.SETTLED


async def test_nothing_is_lost_between_message_and_row(database: Database) -> None:
    async with database.write() as transaction:
        await insert(transaction, "a")
    async with database.read() as session:
        record = await records.find(session, "name-a")
    assert record is not None
    assert record.settings == SETTINGS
    assert (record.active, record.pending, record.newest) == (None, None, None)
    assert record.phase is Phase.SETTLED


async def test_a_version_in_rollout_is_loaded_beside_the_active_one(database: Database) -> None:
    async with database.write() as transaction:
        await insert(transaction, "a")
        revision = await begin(transaction, "a", 1)
    async with database.read() as session:
        (stored,) = await records.load_endpoints(session, None)
    assert revision == 1
    assert (stored.id, stored.name, stored.phase) == ("a", "name-a", Phase.PREPARING)
    assert stored.active is None
    assert config_of(stored.pending) == stored_config(openai_entity("v1"), version=1)
    await settle(database, "a", 1)
    async with database.write() as transaction:
        await begin(transaction, "a", 2)
    async with database.read() as session:
        (stored,) = await records.load_endpoints(session, ["a", "unknown"])
    assert config_of(stored.active) == stored_config(openai_entity("v1"), version=1)
    assert config_of(stored.pending) == stored_config(openai_entity("v2"), version=2)


async def test_a_failed_version_is_remembered(database: Database) -> None:
    async with database.write() as transaction:
        await insert(transaction, "a")
        await begin(transaction, "a", 1)
        row = await transaction.session.get_one(EndpointRow, "a")
        row.phase, row.last_update = Phase.SETTLED, LastUpdate.FAILED
    async with database.read() as session:
        record = await records.find(session, "name-a")
    assert record is not None
    assert record.active is None
    assert record.pending is not None
    assert record.pending.outcome is Outcome.PENDING


async def test_many_ids_are_one_query(database: Database) -> None:
    async with database.write() as transaction:
        for name in ("a", "b", "c"):
            await insert(transaction, name)
    ids = ["a", "c", *(f"unknown{n}" for n in range(1000))]
    async with database.read() as session:
        stored = await records.load_endpoints(session, ids)
        assert await records.load_endpoints(session, []) == []
    assert sorted(endpoint.id for endpoint in stored) == ["a", "c"]


async def test_deleting_leaves_nothing_behind(database: Database) -> None:
    async with database.write() as transaction:
        await insert(transaction, "a")
        await begin(transaction, "a", 1)
    async with database.write() as transaction:
        assert await changes.remove(transaction, "a") == 2
    async with database.read() as session:
        assert await lists.list_all(session, Selection(anyone)) == []
        assert await records.list_versions(session, "a") == []
        assert (await session.exec(select(SecretReferenceRow))).all() == []


async def test_a_list_over_several_pages_is_complete(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "_PART", 3)
    names = [f"e{number}" for number in range(7)]
    async with database.write() as transaction:
        for name in names:
            await insert(transaction, name)
    async with database.read() as session:
        listed = await lists.list_all(session, Selection(anyone))
    assert [record.id for record in listed] == names


async def test_a_list_holds_only_endpoints_whose_grants_are_wanted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "_PART", 2)
    async with database.write() as transaction:
        for number in range(9):
            await insert(transaction, f"e{number}")
            if number % 2:
                grants = {"team": Level.CAN_VIEW}
                await changes.set_grants(transaction, f"e{number}", grants)
    async with database.read() as session:
        listed = await lists.list_all(session, Selection(lambda grants: "team" in grants))
    assert [record.id for record in listed] == ["e1", "e3", "e5", "e7"]
    assert all(record.grants == {"team": Level.CAN_VIEW} for record in listed)
