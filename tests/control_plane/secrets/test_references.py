import pytest
from modelserving.v1.endpoint_pb2 import ServedEntity

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.principal import Level, Permission, Principal
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.references import require_secrets
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.secrets.scopes import remove_scope, set_acl
from tests.control_plane.configs import config_input, openai_entity, stored_config
from tests.control_plane.conftest import ALICE, share
from tests.control_plane.endpoints.test_lifecycle import request
from tests.control_plane.secrets.test_credentials import keep_secret

BOB = Principal("bob-id", "bob")
REFERENCE = r"\{\{secrets/my_scope/my_openai_api_key\}\}"


async def allow(database: Database, permission: Permission) -> None:
    async with database.write() as transaction:
        await set_acl(transaction, "my_scope", {BOB.id: permission})


@pytest.fixture(autouse=True)
async def secret(database: Database, sealer: Sealer) -> None:
    await keep_secret(database, sealer, "my_scope", "my_openai_api_key", b"sk-stored")


async def test_one_that_the_caller_may_not_read_is_refused_like_a_missing_one(
    database: Database, endpoints: Endpoints
) -> None:
    asked = request("one", config={"served_entities": [openai_entity()]})
    with pytest.raises(InvalidParameter, match=REFERENCE) as unreadable:
        await endpoints.create(BOB, asked)
    await allow(database, Permission.READ)
    await endpoints.create(BOB, asked)
    async with database.write() as transaction:
        await remove_scope(transaction, "my_scope")
    with pytest.raises(InvalidParameter) as missing:
        await endpoints.update_config(BOB, "one", config_input(openai_entity()))
    assert str(missing.value) == str(unreadable.value)


async def test_what_the_endpoint_has_had_is_not_asked_for_again(
    database: Database, endpoints: Endpoints
) -> None:
    entities = [openai_entity("a"), openai_entity("b")]
    traffic = {"routes": [{"served_model_name": n, "traffic_percentage": 50} for n in "ab"]}
    config = {"served_entities": entities, "traffic_config": traffic}
    await endpoints.create(ALICE, request("one", config=config))
    await share(database, "one", BOB, Level.CAN_MANAGE)
    shares = {"a": 100, "b": 0}
    split = {"routes": [{"served_model_name": n, "traffic_percentage": shares[n]} for n in shares]}
    assert (await endpoints.update_config(BOB, "one", config_input(traffic_config=split))).active
    assert (await endpoints.rollback(BOB, "one", 1)).active
    # The same reference could be sent elsewhere with what is written beside it.
    with pytest.raises(InvalidParameter, match=REFERENCE):
        await endpoints.update_config(BOB, "one", config_input(*entities, traffic_config=traffic))


async def test_environment_variables_may_refer_to_secrets(
    database: Database, sealer: Sealer
) -> None:
    config = stored_config()
    variables = {"KEY": "{{secrets/my_scope/my_openai_api_key}}", "PLAIN": "text"}
    config.served_entities.append(ServedEntity(name="hosted", environment_vars=variables))
    async with database.read() as session:
        resolved = await CredentialResolver(sealer).resolve(session, "id", config)
        with pytest.raises(InvalidParameter, match=r"environment_vars\.KEY refers to"):
            await require_secrets(session, BOB, config)
    assert resolved.served_entities[0].environment_vars == {"KEY": "sk-stored", "PLAIN": "text"}
    assert config.served_entities[0].environment_vars == variables


async def test_rolling_back_to_what_is_not_served_now_asks_for_it_again(
    database: Database, endpoints: Endpoints
) -> None:
    config = {"served_entities": [openai_entity("old")]}
    await endpoints.create(ALICE, request("one", config=config))
    await endpoints.update_config(ALICE, "one", config_input(openai_entity("new")))
    await share(database, "one", BOB, Level.CAN_MANAGE)
    # The secret may have been given out and replaced since, and what version 1 sends it to is not
    # what the endpoint sends it to now.
    with pytest.raises(InvalidParameter, match=REFERENCE):
        await endpoints.rollback(BOB, "one", 1)
    await allow(database, Permission.READ)
    assert (await endpoints.rollback(BOB, "one", 1)).active
