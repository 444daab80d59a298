import asyncio
from pathlib import Path

import pytest
from sqlmodel import select

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.errors import (
    AlreadyExists,
    Conflict,
    InvalidParameter,
    LimitExceeded,
    NotFound,
    QuotaExceeded,
)
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.references import require_secrets
from modelplane.control_plane.secrets.scopes import Secrets
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import changes
from modelplane.control_plane.store.endpoints.records import load_endpoints
from modelplane.control_plane.store.events import read_events
from modelplane.control_plane.store.migrate import migrate
from modelplane.control_plane.store.secrets.scopes import StoredSecret, remove_scope
from modelplane.control_plane.store.secrets.sealed import forget_replaced
from modelplane.control_plane.store.states import Phase
from modelplane.control_plane.store.tables import CredentialRow, SecretRow
from tests.control_plane.configs import (
    config_input,
    new_endpoint,
    new_version,
    openai_entity,
    stored_config,
)
from tests.control_plane.conftest import ALICE, FakeClock, share
from tests.control_plane.endpoints.test_lifecycle import KEY, request, with_model
from tests.control_plane.rollouts import FakeRollout

NAME = ("my_scope", "my_openai_api_key")
BOB = Principal("bob-id", "bob")


async def create_scope(secrets: Secrets, scope: str = "my_scope") -> None:
    await secrets.create_scope(ALICE, scope, backend="", manager="")


async def scope_names(secrets: Secrets, principal: Principal = ALICE) -> list[str]:
    return [scope.name for scope in await secrets.list_scopes(principal)]


async def with_reference(endpoints: Endpoints, name: str) -> str:
    config = {"served_entities": [openai_entity()]}
    return (await endpoints.create(ALICE, request(name, config=config))).id


async def newest_events(database: Database, after: int) -> list[str]:
    async with database.read() as session:
        return [event.key for event in await read_events(session, after, 10_000)]


async def pushed_keys(database: Database, sealer: Sealer) -> list[str]:
    """Return the API keys that workers have to use."""
    async with database.read() as session:
        stored = await load_endpoints(session, None)
        configs = [(item.id, item.active.config) for item in stored if item.active]
        resolved = await CredentialResolver(sealer).resolve_all(session, configs)
    models = [config.served_entities[0].external_model for config in resolved]
    return [model.openai_config.openai_api_key_plaintext for model in models]


async def test_scopes_are_created_listed_and_deleted(secrets: Secrets) -> None:
    for scope in ("b", "a"):
        await create_scope(secrets, scope)
    await secrets.create_scope(ALICE, "c", backend="DATABRICKS", manager="users")
    assert await scope_names(secrets) == ["a", "b", "c"]
    with pytest.raises(AlreadyExists, match="Scope a already exists"):
        await create_scope(secrets, "a")
    await secrets.delete_scope(ALICE, "a")
    assert await scope_names(secrets) == ["b", "c"]
    with pytest.raises(NotFound, match="'a' does not exist"):
        await secrets.delete_scope(ALICE, "a")


async def test_secrets_are_listed_without_their_values(
    secrets: Secrets, database: Database, clock: FakeClock
) -> None:
    await create_scope(secrets)
    await secrets.put(ALICE, ("my_scope", "z"), b"hidden-1")
    clock.now_ms += 1
    await secrets.put(ALICE, ("my_scope", "a"), b"hidden-2")
    now = clock.now_ms
    assert await secrets.list_secrets(ALICE, "my_scope") == [
        StoredSecret("a", now),
        StoredSecret("z", now - 1),
    ]
    async with database.read() as session:
        row = await session.get_one(SecretRow, ("my_scope", "z"))
    assert b"hidden" not in row.sealed
    await secrets.delete(ALICE, ("my_scope", "z"))
    assert await secrets.list_secrets(ALICE, "my_scope") == [StoredSecret("a", now)]


async def test_what_is_refused(secrets: Secrets) -> None:
    for scope in ("", "a b", "x" * 129, "a/b", "{{"):
        with pytest.raises(InvalidParameter, match="letters, digits"):
            await create_scope(secrets, scope)
    with pytest.raises(InvalidParameter, match="scope_backend_type"):
        await secrets.create_scope(ALICE, "a", backend="AZURE_KEYVAULT", manager="")
    with pytest.raises(InvalidParameter, match="initial_manage_principal"):
        await secrets.create_scope(ALICE, "a", backend="", manager="bob")
    await create_scope(secrets)
    with pytest.raises(InvalidParameter, match="key 'a b'"):
        await secrets.put(ALICE, ("my_scope", "a b"), b"v")
    with pytest.raises(InvalidParameter, match="131073 bytes"):
        await secrets.put(ALICE, NAME, b"x" * (128 * 1024 + 1))
    await secrets.put(ALICE, NAME, b"x" * (128 * 1024))


async def test_what_is_not_there(secrets: Secrets) -> None:
    calls = (
        secrets.put(ALICE, ("none", "key"), b"v"),
        secrets.list_secrets(ALICE, "none"),
        secrets.delete(ALICE, ("none", "key")),
    )
    for call in calls:
        with pytest.raises(NotFound, match="Scope 'none' does not exist"):
            await call
    with pytest.raises(NotFound):
        await secrets.list_secrets(ALICE, "a\0")
    await create_scope(secrets)
    with pytest.raises(NotFound):
        await secrets.delete(ALICE, ("my_scope", "a\0"))
    with pytest.raises(NotFound, match="no secret with the key 'key'"):
        await secrets.delete(ALICE, ("my_scope", "key"))


async def test_a_new_value_reaches_the_endpoints_that_use_it_and_no_others(
    secrets: Secrets,
    endpoints: Endpoints,
    database: Database,
    sealer: Sealer,
    rollout: FakeRollout,
) -> None:
    await create_scope(secrets)
    await secrets.put(ALICE, NAME, b"sk-old")
    await secrets.put(ALICE, ("my_scope", "my_openai_api_key_2"), b"sk-2")
    assert rollout.applied == []
    users = {await with_reference(endpoints, name) for name in ("one", "two")}
    await endpoints.create(ALICE, with_model("other"))
    other = openai_entity(openai_api_key="{{secrets/my_scope/my_openai_api_key_2}}")
    await endpoints.create(ALICE, request("similar", config={"served_entities": [other]}))
    before = len(await newest_events(database, 0))
    await secrets.put(ALICE, NAME, b"sk-new")
    assert set(await newest_events(database, before)) == users
    assert rollout.applied == [before + 2]
    assert sorted(await pushed_keys(database, sealer)) == ["sk-1", "sk-2", "sk-new", "sk-new"]


async def test_versions_that_no_longer_serve_do_not_count(
    secrets: Secrets, endpoints: Endpoints, database: Database, rollout: FakeRollout
) -> None:
    await create_scope(secrets)
    await secrets.put(ALICE, NAME, b"sk-old")
    user = await with_reference(endpoints, "one")
    rollout.stop_at = Phase.PREPARING
    await endpoints.update_config(ALICE, "one", config_input(openai_entity(**KEY)))
    before = len(await newest_events(database, 0))
    await secrets.put(ALICE, NAME, b"sk-new")
    assert await newest_events(database, before) == [user]
    rollout.stop_at = Phase.SETTLED
    await rollout.wait_settled(user)
    before = len(await newest_events(database, 0))
    await secrets.put(ALICE, NAME, b"sk-newer")
    assert await newest_events(database, before) == []


async def test_a_secret_in_use_is_not_deleted_and_the_answer_names_its_users(
    secrets: Secrets, endpoints: Endpoints
) -> None:
    await create_scope(secrets)
    await secrets.put(ALICE, NAME, b"sk")
    await secrets.put(ALICE, ("my_scope", "unused"), b"sk")
    await with_reference(endpoints, "one")
    await with_reference(endpoints, "two")
    with pytest.raises(Conflict, match=r"'my_openai_api_key' of scope .* 'one', 'two'\. Delete"):
        await secrets.delete(ALICE, NAME)
    with pytest.raises(Conflict, match=r"Secrets of scope 'my_scope' are used .* 'one', 'two'"):
        await secrets.delete_scope(ALICE, "my_scope")
    await secrets.delete(ALICE, ("my_scope", "unused"))
    await endpoints.update_config(ALICE, "one", config_input(openai_entity(**KEY)))
    await endpoints.delete(ALICE, "two")
    await secrets.delete(ALICE, NAME)
    await secrets.delete_scope(ALICE, "my_scope")


async def test_who_uses_a_secret_is_told_as_far_as_one_may_see_it(
    secrets: Secrets, endpoints: Endpoints, database: Database, rollout: FakeRollout
) -> None:
    async def told(principal: Principal, key: str | None = None) -> tuple[list[str], int]:
        uses, others = await secrets.list_uses(principal, "my_scope", key)
        return [f"{use.endpoint} {use.version} {use.key}" for use in uses], others

    await secrets.create_scope(BOB, "my_scope", backend="", manager="")
    for key in NAME[1], "second":
        await secrets.put(ALICE, ("my_scope", key), b"sk")
    second = openai_entity(openai_api_key="{{secrets/my_scope/second}}")
    await with_reference(endpoints, "b")
    await endpoints.create(ALICE, request("a", config={"served_entities": [second]}))
    # The version that serves, and the one that is rolled out.
    rollout.stop_at = Phase.PREPARING
    await endpoints.update_config(ALICE, "b", config_input(second))
    everything = [f"b 1 {NAME[1]}", "b 2 second"]
    assert await told(ALICE) == (["a 1 second", *everything], 0)
    assert await told(ALICE, "second") == (["a 1 second", "b 2 second"], 0)
    assert await told(ALICE, "none") == ([], 0)
    await share(database, "b", BOB, Level.CAN_VIEW)
    assert await told(BOB) == (everything, 1)
    with pytest.raises(NotFound):
        await secrets.list_uses(BOB, "other", None)
    # PostgreSQL takes no NUL.
    with pytest.raises(InvalidParameter, match="letters, digits"):
        await secrets.list_uses(ALICE, "my_scope", "a\0")


async def test_endpoints_that_one_may_not_see_are_counted_but_not_named(
    secrets: Secrets, endpoints: Endpoints, database: Database
) -> None:
    await secrets.create_scope(BOB, "my_scope", backend="", manager="")
    await secrets.put(BOB, NAME, b"sk")
    await with_reference(endpoints, "hidden")
    with pytest.raises(Conflict, match="endpoints: 1 that you may not see") as raised:
        await secrets.delete(BOB, NAME)
    assert "hidden" not in str(raised.value)
    await with_reference(endpoints, "shared")
    await share(database, "shared", BOB, Level.CAN_VIEW)
    with pytest.raises(Conflict, match="endpoints: 'shared', 1 others"):
        await secrets.delete(BOB, NAME)


async def test_a_line_end_is_no_part_of_a_key(
    secrets: Secrets, endpoints: Endpoints, database: Database, sealer: Sealer
) -> None:
    await create_scope(secrets)
    await secrets.put(ALICE, NAME, b"sk-new\r\n")
    await with_reference(endpoints, "one")
    assert await pushed_keys(database, sealer) == ["sk-new"]


async def test_an_endpoint_that_is_just_being_made_is_not_missed(
    secrets: Secrets, database: Database
) -> None:
    await create_scope(secrets)
    await secrets.put(ALICE, NAME, b"sk-old")
    async with asyncio.TaskGroup() as tasks, database.write() as transaction:
        await changes.insert(transaction, new_endpoint("id", "one"))
        version = new_version(stored_config(openai_entity()))
        created = await changes.begin_rollout(transaction, "id", version)
        put = tasks.create_task(secrets.put(ALICE, NAME, b"sk-new"))
        # Time to look for users too early; it must wait for this transaction instead.
        await asyncio.wait({put}, timeout=0.3)
    assert await newest_events(database, created) == ["id"]


async def test_how_many_there_may_be(secrets: Secrets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelplane.control_plane.secrets.scopes.MAX_SECRETS", 2)
    monkeypatch.setattr("modelplane.control_plane.secrets.scopes.MAX_SCOPES", 2)
    await create_scope(secrets)
    for key in ("a", "b", "a"):
        await secrets.put(ALICE, ("my_scope", key), b"v")
    with pytest.raises(LimitExceeded, match="holds 2 secrets"):
        await secrets.put(ALICE, ("my_scope", "c"), b"v")
    assert len(await secrets.list_secrets(ALICE, "my_scope")) == 2
    await create_scope(secrets, "second")
    with pytest.raises(LimitExceeded, match="There are 2 scopes"):
        await create_scope(secrets, "third")
    assert await scope_names(secrets) == ["my_scope", "second"]


async def test_one_user_does_not_take_all_scopes(
    secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelplane.control_plane.secrets.scopes.MAX_SCOPES_OF_ONE", 2)
    for name in ("b1", "b2"):
        await secrets.create_scope(BOB, name, backend="", manager="")
    with pytest.raises(QuotaExceeded, match="You have created 2 scopes, and may create 2"):
        await secrets.create_scope(BOB, "b3", backend="", manager="")
    for name in ("a1", "a2", "a3"):
        await create_scope(secrets, name)
    await secrets.delete_scope(BOB, "b1")
    await secrets.create_scope(BOB, "b3", backend="", manager="")


def everything_in(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.iterdir())


async def test_what_was_deleted_is_not_left_in_the_file(
    tmp_path: Path, sealer: Sealer, clock: FakeClock
) -> None:
    file = tmp_path / "own.db"
    database = Database(f"sqlite:///{file}")
    await migrate(database)
    rollout = FakeRollout(database, clock)
    endpoints = Endpoints(database, sealer, rollout, clock)
    await endpoints.create(ALICE, with_model("one"))
    async with database.read() as session:
        (row,) = (await session.exec(select(CredentialRow))).all()
    await forget_replaced(database)
    assert row.sealed in file.read_bytes()
    await endpoints.delete(ALICE, "one")
    await forget_replaced(database)
    await database.aclose()
    content = everything_in(tmp_path)
    assert row.sealed[-32:] not in content
    assert b"sk-1" not in content


async def test_what_referred_to_a_deleted_scope_gets_nothing_of_a_new_one(
    secrets: Secrets, endpoints: Endpoints, database: Database, sealer: Sealer
) -> None:
    await create_scope(secrets)
    await secrets.put(ALICE, NAME, b"sk-of-the-first")
    await with_reference(endpoints, "one")
    async with database.write() as transaction:
        await remove_scope(transaction, "my_scope")
    # The endpoint was checked against the list of another scope.
    with pytest.raises(InvalidParameter, match="still refers to scope 'my_scope'"):
        await secrets.create_scope(BOB, "my_scope", backend="", manager="")
    assert await pushed_keys(database, sealer) == [""]
    await endpoints.delete(ALICE, "one")
    await secrets.create_scope(BOB, "my_scope", backend="", manager="")


async def test_a_scope_cannot_go_while_an_endpoint_that_refers_to_it_is_being_made(
    secrets: Secrets, database: Database
) -> None:
    await create_scope(secrets)
    await secrets.put(ALICE, NAME, b"sk")
    config = stored_config(openai_entity())
    async with asyncio.TaskGroup() as tasks, database.write() as transaction:
        await require_secrets(transaction.session, ALICE, config)
        deleted = tasks.create_task(secrets.delete_scope(ALICE, "my_scope"))
        await asyncio.wait({deleted}, timeout=0.3)
        assert not deleted.done()
