import pytest
from sqlmodel import SQLModel

from modelplane.control_plane.secrets.encryption import Sealer, wrapped_by
from modelplane.control_plane.secrets.keyring import FixedKeys, local_key
from modelplane.control_plane.secrets.rotation import count_by_key, rewrap_all
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.secrets.scopes import insert_scope, put_secret
from modelplane.control_plane.store.secrets.sealed import (
    SEALED,
    SealedTable,
    SealedValue,
    read_sealed,
    replace_sealed,
    secret_place,
)
from tests.control_plane.configs import openai_entity
from tests.control_plane.secrets.test_credentials import insert_endpoint, keep_secret

OLD, NEW = b"k" * 32, b"n" * 32
OLD_ID, NEW_ID = local_key(OLD).id, local_key(NEW).id
# More than one batch.
COUNT = 250


@pytest.fixture
async def filled(database: Database, sealer: Sealer) -> Database:
    """A database with secrets, and credentials of an endpoint, all wrapped with the old key."""
    async with database.write() as transaction:
        await insert_scope(transaction, "many", "alice", 1)
        for number in range(COUNT):
            name = ("many", f"key-{number}")
            sealed = await sealer.seal(f"value-{number}".encode(), secret_place(name))
            await put_secret(transaction, name, sealed, 1)
    await insert_endpoint(database, sealer, "a", openai_entity(openai_api_key_plaintext="sk-a"))
    return database


async def sealed_values(database: Database) -> list[SealedValue]:
    async with database.read() as session:
        return [value for table in SEALED for value in await read_sealed(session, table, None, 999)]


def test_no_table_with_sealed_values_is_forgotten() -> None:
    with_column = {
        name for name, table in SQLModel.metadata.tables.items() if "sealed" in table.columns
    }
    assert {table.name for table in SEALED} == with_column


async def test_everything_is_wrapped_with_the_new_key_and_nothing_changes(filled: Database) -> None:
    progress: list[int] = []
    rotation = await rewrap_all(filled, Sealer(FixedKeys(NEW, OLD)), progress.append)
    assert (rotation.rewrapped, rotation.broken) == (COUNT + 1, set())
    assert progress[-1] == COUNT + 1
    assert await count_by_key(filled) == {NEW_ID: COUNT + 1}
    only_new = Sealer(FixedKeys(NEW))
    opened = [await only_new.open(item.sealed, item.place) for item in await sealed_values(filled)]
    assert set(opened) == {b"sk-a", *(f"value-{number}".encode() for number in range(COUNT))}
    again = await rewrap_all(filled, Sealer(FixedKeys(NEW, OLD)), progress.append)
    assert again.rewrapped == 0


async def test_one_that_stopped_half_way_is_finished(filled: Database) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rewrap_all(filled, Sealer(FixedKeys(NEW, OLD)), stop)
    counts = await count_by_key(filled)
    assert counts[NEW_ID] > 0
    assert counts[OLD_ID] > 0
    rotation = await rewrap_all(filled, Sealer(FixedKeys(NEW, OLD)), lambda _: None)
    assert rotation.rewrapped == counts[OLD_ID]
    assert await count_by_key(filled) == {NEW_ID: COUNT + 1}


async def test_what_no_key_opens_is_named_and_left(filled: Database) -> None:
    await keep_secret(filled, Sealer(FixedKeys(b"x" * 32)), "many", "lost", b"value")
    rotation = await rewrap_all(filled, Sealer(FixedKeys(NEW, OLD)), lambda _: None)
    assert rotation.rewrapped == COUNT + 1
    assert rotation.broken == {"secret/many/lost"}
    assert (await count_by_key(filled))[local_key(b"x" * 32).id] == 1


async def test_a_value_written_meanwhile_is_kept(filled: Database, sealer: Sealer) -> None:
    table: SealedTable = SEALED[0]
    async with filled.read() as session:
        (value,) = await read_sealed(session, table, None, 1)
    await keep_secret(filled, sealer, "many", str(value.key[1]), b"newer")
    async with filled.write() as transaction:
        assert not await replace_sealed(transaction, table, value, b"older")
    await rewrap_all(filled, Sealer(FixedKeys(NEW, OLD)), lambda _: None)
    async with filled.read() as session:
        (value,) = await read_sealed(session, table, None, 1)
    assert wrapped_by(value.sealed) == NEW_ID
    assert await Sealer(FixedKeys(NEW)).open(value.sealed, value.place) == b"newer"
