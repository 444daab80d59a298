import pytest
from google.protobuf import json_format

from modelplane.adapters.shared.credential_slots import find_credentials, parse_reference
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.secrets.credentials import (
    CredentialResolver,
    CredentialVault,
    reference_to,
    take_plaintexts,
)
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.keyring import FixedKeys
from modelplane.control_plane.secrets.references import require_secrets
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import changes
from modelplane.control_plane.store.secrets.scopes import find_scope, insert_scope, put_secret
from modelplane.control_plane.store.secrets.sealed import secret_place
from tests.control_plane.configs import new_endpoint, new_version, openai_entity, stored_config
from tests.control_plane.conftest import ALICE


def custom_entity() -> dict[str, object]:
    return {
        "name": "mine",
        "external_model": {
            "name": "m",
            "provider": "custom",
            "task": "llm/v1/chat",
            "custom_provider_config": {
                "custom_provider_url": "https://example.com",
                "bearer_token_auth": {"token_plaintext": "hidden"},
            },
        },
    }


async def keep_secret(
    database: Database, sealer: Sealer, scope: str, key: str, value: bytes
) -> None:
    async with database.write() as transaction:
        if await find_scope(transaction.session, scope) is None:
            await insert_scope(transaction, scope, "alice", 1)
        sealed = await sealer.seal(value, secret_place((scope, key)))
        await put_secret(transaction, (scope, key), sealed, 1)


async def insert_endpoint(
    database: Database, sealer: Sealer, endpoint_id: str, *entities: dict[str, object]
) -> None:
    config = stored_config(*entities)
    plaintexts = take_plaintexts(config)
    sealed = await CredentialVault(sealer).seal(endpoint_id, 1, plaintexts)
    async with database.write() as transaction:
        await changes.insert(transaction, new_endpoint(endpoint_id))
        await changes.begin_rollout(transaction, endpoint_id, new_version(config, sealed))


def test_plaintexts_are_taken_out_by_path() -> None:
    config = stored_config(openai_entity(openai_api_key_plaintext="sk-1"), custom_entity())
    assert take_plaintexts(config) == {
        "chat/openai_config.openai_api_key_plaintext": "sk-1",
        "mine/custom_provider_config.bearer_token_auth.token_plaintext": "hidden",
    }
    assert "sk-1" not in str(config)
    assert "hidden" not in str(config)
    assert take_plaintexts(config) == {}


def test_a_slot_does_not_show_its_value() -> None:
    slots = list(find_credentials(stored_config(openai_entity(openai_api_key_plaintext="sk-1"))))
    assert slots[0].plaintext == "sk-1"
    assert "sk-1" not in repr(slots)


@pytest.mark.parametrize(
    "text",
    ["", "sk-1", "{{secrets/scope}}", "{{secrets//key}}", "{{secrets/a/b/c}}", "{{secret/a/b}}"],
)
def test_what_is_no_reference(text: str) -> None:
    assert parse_reference(text) is None


def test_a_reference_names_scope_and_key() -> None:
    assert parse_reference(reference_to(("my.scope", "my-key"))) == ("my.scope", "my-key")


async def test_a_missing_secret_is_named(database: Database) -> None:
    async with database.read() as session:
        with pytest.raises(InvalidParameter, match=r"\{\{secrets/my_scope/my_openai_api_key\}\}"):
            await require_secrets(session, ALICE, stored_config(openai_entity()))


async def test_a_key_in_place_of_a_reference_is_not_repeated(database: Database) -> None:
    config = stored_config(openai_entity(openai_api_key="sk-oops"))
    async with database.read() as session:
        with pytest.raises(
            InvalidParameter, match=r"use openai_config\.openai_api_key_plaintext"
        ) as e:
            await require_secrets(session, ALICE, config)
    assert "sk-oops" not in str(e.value)


async def test_references_and_plaintexts_are_resolved(database: Database, sealer: Sealer) -> None:
    await keep_secret(database, sealer, "my_scope", "my_openai_api_key", b"sk-stored")
    entities = (openai_entity(), openai_entity("two", openai_api_key_plaintext="sk-given"))
    await insert_endpoint(database, sealer, "a", *entities)
    config = stored_config(*entities, version=1)
    take_plaintexts(config)
    async with database.read() as session:
        await require_secrets(session, ALICE, config)
        resolved = await CredentialResolver(sealer).resolve(session, "a", config)
    keys = [entity.external_model.openai_config for entity in resolved.served_entities]
    assert [key.openai_api_key_plaintext for key in keys] == ["sk-stored", "sk-given"]
    assert not any(key.HasField("openai_api_key") for key in keys)
    assert "sk-" not in json_format.MessageToJson(config)


async def test_a_reference_to_a_deleted_secret_is_left(database: Database, sealer: Sealer) -> None:
    config = stored_config(openai_entity())
    async with database.read() as session:
        assert await CredentialResolver(sealer).resolve(session, "a", config) == config


async def test_a_secret_that_cannot_be_opened_is_left_and_the_others_are_not(
    database: Database, sealer: Sealer, caplog: pytest.LogCaptureFixture
) -> None:
    await keep_secret(
        database, Sealer(FixedKeys(b"x" * 32)), "my_scope", "my_openai_api_key", b"sk-other"
    )
    await keep_secret(database, sealer, "my_scope", "good", b"sk-good")
    bad = stored_config(openai_entity())
    good = stored_config(openai_entity(openai_api_key="{{secrets/my_scope/good}}"))
    async with database.read() as session:
        resolved = await CredentialResolver(sealer).resolve_all(session, [("a", bad), ("b", good)])
    assert resolved[0] == bad
    model = resolved[1].served_entities[0].external_model
    assert model.openai_config.openai_api_key_plaintext == "sk-good"
    assert "cannot open a credential" in caplog.text


async def test_many_configurations_at_once(database: Database, sealer: Sealer) -> None:
    await keep_secret(database, sealer, "my_scope", "my_openai_api_key", b"sk-stored")
    await insert_endpoint(database, sealer, "a", openai_entity(openai_api_key_plaintext="sk-a"))
    config = stored_config(openai_entity("chat"), version=1)
    given = stored_config(openai_entity(), version=1)
    given.served_entities[0].external_model.openai_config.ClearField("openai_api_key")
    configs = [("a", given), *((f"id{n}", config) for n in range(600))]
    async with database.read() as session:
        resolved = await CredentialResolver(sealer).resolve_all(session, configs)
    keys = [
        item.served_entities[0].external_model.openai_config.openai_api_key_plaintext
        for item in resolved
    ]
    assert keys == ["sk-a"] + ["sk-stored"] * 600


async def test_the_credentials_of_a_version_can_be_opened(
    database: Database, sealer: Sealer
) -> None:
    await insert_endpoint(database, sealer, "a", openai_entity(openai_api_key_plaintext="sk-a"))
    async with database.read() as session:
        opened = await CredentialVault(sealer).open(session, "a", 1)
        assert opened == {"chat/openai_config.openai_api_key_plaintext": "sk-a"}
        assert await CredentialVault(sealer).open(session, "a", 2) == {}
