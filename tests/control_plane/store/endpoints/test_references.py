from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import changes
from modelplane.control_plane.store.endpoints.references import find_users
from modelplane.control_plane.store.states import Phase
from modelplane.control_plane.store.tables import EndpointRow
from tests.control_plane.configs import new_endpoint, new_version, openai_entity, stored_config


async def store(
    database: Database, endpoint_id: str, *secrets: str, active: int | None, phase: Phase
) -> None:
    """Store an endpoint whose versions refer to one secret each; the last one is pending."""
    async with database.write() as transaction:
        await changes.insert(transaction, new_endpoint(endpoint_id))
        for number, secret in enumerate(secrets, start=1):
            entity = openai_entity(openai_api_key=f"{{{{secrets/{secret}}}}}")
            config = stored_config(entity, version=number)
            await changes.begin_rollout(transaction, endpoint_id, new_version(config))
        row = await transaction.session.get_one(EndpointRow, endpoint_id)
        row.active_version, row.phase = active, phase


async def users(database: Database, scope: str, key: str | None) -> list[str]:
    async with database.read() as session:
        return await find_users(session, scope, key)


async def test_users_are_the_endpoints_that_serve_a_reference_or_are_about_to(
    database: Database,
) -> None:
    await store(database, "serves", "s/a", active=1, phase=Phase.SETTLED)
    await store(database, "prepares", "s/b", "s/a", active=1, phase=Phase.PREPARING)
    await store(database, "activates", "s/a", "s/b", active=1, phase=Phase.ACTIVATING)
    await store(database, "failed", "s/b", "s/a", active=1, phase=Phase.SETTLED)
    await store(database, "replaced", "s/a", "other/a", active=2, phase=Phase.SETTLED)
    assert await users(database, "s", "a") == ["activates", "prepares", "serves"]
    assert await users(database, "s", "b") == ["activates", "failed", "prepares"]
    assert await users(database, "s", None) == ["activates", "failed", "prepares", "serves"]
    assert await users(database, "other", "a") == ["replaced"]
    assert await users(database, "s", "%") == []
    assert await users(database, "_", "a") == []


async def test_a_secret_that_two_entities_share_is_one_reference(database: Database) -> None:
    config = stored_config(openai_entity("one"), openai_entity("two"))
    async with database.write() as transaction:
        await changes.insert(transaction, new_endpoint("a"))
        await changes.begin_rollout(transaction, "a", new_version(config))
    assert await users(database, "my_scope", "my_openai_api_key") == ["a"]
