from collections.abc import Collection, Mapping

import pytest

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.errors import (
    AlreadyExists,
    Conflict,
    InvalidParameter,
    NotFound,
    StoreUnavailable,
)
from modelplane.control_plane.principal import USERS_ID, Permission, Principal
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.keyring import FixedKeys
from modelplane.control_plane.secrets.scopes import MAX_VALUE_BYTES, Secrets
from modelplane.control_plane.secrets.stores.base import SecretStore, StoreAway
from modelplane.control_plane.secrets.sync import SecretSync
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.secrets.scopes import StoredSecret, insert_scope, set_acl
from tests.control_plane.configs import openai_entity
from tests.control_plane.conftest import ALICE, FakeClock
from tests.control_plane.endpoints.test_lifecycle import request
from tests.control_plane.rollouts import FakeRollout
from tests.control_plane.secrets.test_scopes import newest_events, pushed_keys

BOB = Principal("bob-id", "bob")
KEY = {"openai_api_key": "{{secrets/vault/key}}"}


class FakeStore:
    """A store whose content the test changes."""

    backend = "FILES"

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {"key": b"sk-1", "unused": b"sk-unused"}
        self.away = False
        self.asked: list[str] = []

    async def read(self, keys: Collection[str]) -> Mapping[str, bytes]:
        if self.away:
            raise StoreAway("away")
        self.asked += keys
        return {key: self.values[key] for key in keys if key in self.values}

    async def list_keys(self) -> list[str]:
        if self.away:
            raise StoreAway("away")
        return list(self.values)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
async def sync(
    database: Database, sealer: Sealer, store: FakeStore, clock: FakeClock
) -> SecretSync:
    sync = SecretSync(database, sealer, {"vault": store}, clock)
    await sync.declare()
    return sync


@pytest.fixture
def secrets(
    database: Database, sealer: Sealer, rollout: FakeRollout, clock: FakeClock, store: FakeStore
) -> Secrets:
    stores: Mapping[str, SecretStore] = {"vault": store}
    return Secrets(database, sealer, rollout, clock, stores)


@pytest.fixture
def endpoints(
    database: Database, sealer: Sealer, rollout: FakeRollout, clock: FakeClock, sync: SecretSync
) -> Endpoints:
    return Endpoints(database, sealer, rollout, clock, source=sync)


async def create(endpoints: Endpoints, name: str, who: Principal = ALICE, **key: str) -> str:
    config = {"served_entities": [openai_entity(**(key or KEY))]}
    return (await endpoints.create(who, request(name, config=config))).id


async def allow(database: Database, permission: Permission) -> None:
    async with database.write() as transaction:
        await set_acl(transaction, "vault", {USERS_ID: permission})


async def test_a_secret_is_read_when_it_is_first_used_and_followed_after(
    endpoints: Endpoints, sync: SecretSync, store: FakeStore, database: Database, sealer: Sealer
) -> None:
    user = await create(endpoints, "one")
    assert await pushed_keys(database, sealer) == ["sk-1"]
    before = len(await newest_events(database, 0))
    await sync.refresh()
    assert await newest_events(database, before) == []
    store.values["key"] = b"sk-2"
    await sync.refresh()
    assert await newest_events(database, before) == [user]
    assert await pushed_keys(database, sealer) == ["sk-2"]
    del store.values["key"]
    await sync.refresh()
    assert await newest_events(database, before) == [user, user]
    assert await pushed_keys(database, sealer) == [""]
    assert set(store.asked) == {"key"}


async def test_while_the_store_is_away_the_last_value_stays_and_the_log_says_so_once(
    endpoints: Endpoints,
    sync: SecretSync,
    store: FakeStore,
    database: Database,
    sealer: Sealer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    await create(endpoints, "one")
    store.away = True
    for _ in range(3):
        await sync.refresh()
    assert await pushed_keys(database, sealer) == ["sk-1"]
    assert [record.message for record in caplog.records].count("a store of secrets is away") == 1
    # Nor does one that was read before need the store.
    await create(endpoints, "two")
    with pytest.raises(StoreUnavailable, match="store of scope 'vault' does not answer"):
        await create(endpoints, "three", openai_api_key="{{secrets/vault/unused}}")
    store.away = False
    await sync.refresh()
    assert "a store of secrets is back" in caplog.text
    assert "sk-1" not in caplog.text


async def test_a_missing_secret_is_named(endpoints: Endpoints) -> None:
    with pytest.raises(InvalidParameter, match=r"\{\{secrets/vault/none\}\}"):
        await create(endpoints, "one", openai_api_key="{{secrets/vault/none}}")


async def test_only_those_who_may_read_use_it_and_administrators_may_at_first(
    endpoints: Endpoints, store: FakeStore, secrets: Secrets, database: Database
) -> None:
    assert [scope.backend for scope in await secrets.list_scopes(ALICE)] == ["FILES"]
    assert await secrets.list_scopes(BOB) == []
    with pytest.raises(InvalidParameter, match=r"\{\{secrets/vault/key\}\}"):
        await create(endpoints, "one", BOB)
    assert store.asked == []
    await allow(database, Permission.READ)
    await create(endpoints, "one", BOB)


async def test_it_is_changed_in_its_store_only(
    secrets: Secrets, database: Database, sync: SecretSync, endpoints: Endpoints, clock: FakeClock
) -> None:
    del sync
    await create(endpoints, "one")
    await allow(database, Permission.MANAGE)
    calls = (
        secrets.put(BOB, ("vault", "key"), b"v"),
        secrets.delete(BOB, ("vault", "key")),
    )
    for call in calls:
        with pytest.raises(InvalidParameter, match="kept in FILES; change them there"):
            await call
    with pytest.raises(InvalidParameter, match="declared by the operator"):
        await secrets.delete_scope(BOB, "vault")
    assert await secrets.list_secrets(BOB, "vault") == [
        StoredSecret("key", clock.now_ms),
        StoredSecret("unused", 0),
    ]
    for call in (
        secrets.create_scope(BOB, "vault", backend="", manager=""),
        secrets.create_scope(BOB, "mine", backend="FILES", manager=""),
    ):
        with pytest.raises((AlreadyExists, InvalidParameter)):
            await call


async def test_the_keys_of_a_store_that_is_away_cannot_be_listed(
    secrets: Secrets, sync: SecretSync, store: FakeStore
) -> None:
    del sync
    store.away = True
    with pytest.raises(StoreUnavailable, match="'vault' does not answer"):
        await secrets.list_secrets(ALICE, "vault")
    with pytest.raises(NotFound):
        await secrets.list_secrets(BOB, "vault")


async def test_a_scope_that_is_no_longer_declared_keeps_serving_until_it_is_deleted(
    endpoints: Endpoints,
    database: Database,
    sealer: Sealer,
    rollout: FakeRollout,
    clock: FakeClock,
) -> None:
    await create(endpoints, "one")
    undeclared = Secrets(database, sealer, rollout, clock)
    await SecretSync(database, sealer, {}, clock).refresh()
    assert await pushed_keys(database, sealer) == ["sk-1"]
    with pytest.raises(Conflict, match="used by endpoints: 'one'"):
        await undeclared.delete_scope(ALICE, "vault")
    await endpoints.delete(ALICE, "one")
    await undeclared.delete_scope(ALICE, "vault")


async def test_declaring_is_repeated_at_each_start_and_takes_no_scope_over(
    database: Database, sealer: Sealer, sync: SecretSync, store: FakeStore, clock: FakeClock
) -> None:
    await sync.declare()
    async with database.write() as transaction:
        await insert_scope(transaction, "own", "alice", 1)
    with pytest.raises(ValueError, match="scope 'own' exists and keeps secrets of its own"):
        await SecretSync(database, sealer, {"own": store}, clock).declare()


async def test_a_scope_may_move_to_another_kind_of_store(
    endpoints: Endpoints, secrets: Secrets, database: Database, sealer: Sealer, clock: FakeClock
) -> None:
    class OtherStore(FakeStore):
        backend = "HASHICORP_VAULT"

    await create(endpoints, "one")
    moved = OtherStore()
    moved.values["key"] = b"sk-moved"
    sync = SecretSync(database, sealer, {"vault": moved}, clock)
    await sync.declare()
    assert [scope.backend for scope in await secrets.list_scopes(ALICE)] == ["HASHICORP_VAULT"]
    await sync.refresh()
    assert await pushed_keys(database, sealer) == ["sk-moved"]


async def test_a_value_that_is_too_long_is_not_taken(
    endpoints: Endpoints, sync: SecretSync, store: FakeStore, database: Database, sealer: Sealer
) -> None:
    await create(endpoints, "one")
    store.values["key"] = bytes(MAX_VALUE_BYTES + 1)
    await sync.refresh()
    assert await pushed_keys(database, sealer) == ["sk-1"]


async def test_a_value_that_no_master_key_opens_is_replaced(
    endpoints: Endpoints, store: FakeStore, database: Database, clock: FakeClock
) -> None:
    await create(endpoints, "one")
    other = Sealer(FixedKeys(b"x" * 32))
    await SecretSync(database, other, {"vault": store}, clock).refresh()
    assert await pushed_keys(database, other) == ["sk-1"]
