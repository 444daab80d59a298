"""What a database must be like for the control plane to start on it, and what is said of others."""

import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from modelplane.control_plane.migrate import run
from modelplane.control_plane.settings import Settings
from modelplane.control_plane.store.database import Database, DatabaseUnusable
from modelplane.control_plane.store.migrate import METADATA, OLD_SCHEMAS, migrate, require_schema
from tests.migrated import NEWEST


@pytest.fixture
async def empty(empty_database_url: str) -> AsyncIterator[Database]:
    async with aclosing(Database(empty_database_url)) as database:
        yield database


@pytest.fixture
async def own(empty: Database) -> Database:
    """A migrated database that nothing else is made from, so that its tables may be changed."""
    await migrate(empty)
    return empty


async def execute(database: Database, *statements: str) -> None:
    async with database.engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def tables(database: Database) -> set[str]:
    async with database.engine.connect() as connection:
        return await connection.run_sync(lambda one: set(inspect(one).get_table_names()))


async def refusal(database: Database) -> str:
    with pytest.raises(DatabaseUnusable) as raised:
        await migrate(database)
    # `modelplane up` shows the last line of what a part says.
    assert "\n" not in str(raised.value)
    return str(raised.value)


async def test_the_tables_are_those_of_the_code(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_second_time_changes_nothing(database: Database) -> None:
    async with database.engine.connect() as connection:
        before = (await connection.execute(text("SELECT store_id FROM revision"))).all()
    await migrate(database)
    async with database.engine.connect() as connection:
        assert (await connection.execute(text("SELECT store_id FROM revision"))).all() == before


async def test_a_command_does_it_before_any_control_plane(empty_database_url: str) -> None:
    settings = Settings(database_url=empty_database_url)
    newest = await run(settings)
    assert newest.endswith(": made")
    assert await run(settings) == newest.replace("made", "nothing to do")
    async with aclosing(Database(empty_database_url)) as database:
        await execute(database, "UPDATE alembic_version SET version_num = '0099'")
    with pytest.raises(DatabaseUnusable, match="of a newer release"):
        await run(settings)


async def test_tables_of_others_may_lie_beside(empty: Database) -> None:
    await execute(empty, "CREATE TABLE theirs (id INTEGER)")
    await migrate(empty)
    assert {"theirs", "endpoint"} <= await tables(empty)


async def test_a_newer_schema_is_refused(database: Database) -> None:
    await execute(database, "UPDATE alembic_version SET version_num = '0999'")
    said = await refusal(database)
    newer = "has schema 0999, of a newer release; this one knows schemas up to"
    assert f"{newer} {NEWEST}" in said
    assert "put back a copy from before it was first started" in said


@pytest.mark.parametrize("schema", OLD_SCHEMAS)
async def test_a_schema_of_before_the_first_release_is_refused(
    database: Database, schema: str
) -> None:
    await execute(database, f"UPDATE alembic_version SET version_num = '{schema}'")
    said = await refusal(database)
    assert f"has schema {schema}" in said
    assert "`modelplane carry-over`" in said
    assert "2287867" in said
    assert ("cannot be carried over at once" in said) is (schema != "0010")


async def test_tables_that_say_no_schema_are_refused(own: Database) -> None:
    await execute(own, "DROP TABLE alembic_version")
    said = await refusal(own)
    assert "has tables called access_token, audit_event, client_secret, but does not say" in said


async def test_what_lacks_a_table_or_a_column_is_refused(own: Database) -> None:
    await execute(own, "DROP TABLE replica", "ALTER TABLE quota RENAME COLUMN used TO u")
    said = await refusal(own)
    assert "is damaged: it lacks quota.used, replica.acked_revision, replica.connected" in said


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "modelplane.db"
    file.write_text("no database" * 100)
    async with aclosing(Database(f"sqlite:///{file}")) as database:
        said = await refusal(database)
    assert said == (
        f"The database {file} cannot be used: file is not a database. Put back a copy of it."
    )


async def test_what_was_cut_off_is_refused(migrated_sqlite_url: str) -> None:
    file = Path(migrated_sqlite_url.removeprefix("sqlite:///"))
    os.truncate(file, 8192)
    async with aclosing(Database(migrated_sqlite_url)) as database:
        assert "cannot be used: database disk image is malformed" in await refusal(database)


async def test_a_database_that_is_not_there_is_told(postgres_url: str) -> None:
    async with aclosing(Database(f"{postgres_url}_not")) as database:
        said = await refusal(database)
    assert said.endswith('_not" does not exist. Check MODELPLANE_DATABASE_URL.')


async def test_a_password_is_not_told(database: Database) -> None:
    assert "postgres:postgres" not in database.place


async def test_a_check_alone_changes_nothing(empty: Database, database: Database) -> None:
    with pytest.raises(DatabaseUnusable, match="is empty"):
        await require_schema(empty)
    assert await tables(empty) == set()
    await require_schema(database)
    with pytest.raises(DatabaseUnusable, match=f"has schema {NEWEST}; this needs schema 0010"):
        await require_schema(database, "0010")
