"""An empty database is made at once, and is what the migrations would have made of it."""

import re
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from modelplane.control_plane.store import newest
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.migrate import apply_migrations, migrate
from modelplane.control_plane.store.newest import make_newest, newest_file, read_newest
from tests.migrated import NEWEST
from tests.newest_schema import statements_of
from tests.postgres import fresh_database

# All that PostgreSQL knows of tables, one line each.
_POSTGRESQL = """
SELECT 'column', table_name, column_name, ordinal_position::text, data_type || udt_name,
       is_nullable, coalesce(column_default, ''), is_identity
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL
SELECT 'index', tablename, indexname, indexdef, '', '', '', ''
FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '', '', ''
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT 'sequence', sequencename, data_type::text, start_value::text || '+' || increment_by::text,
       cycle::text, '', '', ''
FROM pg_sequences WHERE schemaname = 'public'
"""
_SQLITE = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master"


@asynccontextmanager
async def changing(url: str) -> AsyncIterator[AsyncConnection]:
    async with aclosing(Database(url)) as database, database.change_schema() as connection:
        yield connection


def described(connection: Connection) -> tuple[set[tuple[str, ...]], dict[str, list[str]]]:
    """Return a schema, and the rows of its tables."""
    query = _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL
    schema = {tuple(map(str, row)) for row in connection.execute(text(query))}
    rows = {
        table: [str(row) for row in connection.execute(text(f'SELECT * FROM "{table}"'))]
        for table in inspect(connection).get_table_names()
    }
    # Each database has one of its own.
    rows["revision"] = [re.sub(r"[0-9a-f]{32}", "", row) for row in rows["revision"]]
    return schema, rows


async def assert_same(one: str, other: str) -> None:
    """Assert that migrations make of `one` what is made of `other` at once."""
    async with changing(one) as connection:
        await connection.run_sync(apply_migrations)
        by_migrations = await connection.run_sync(described)
    async with changing(other) as connection:
        await connection.run_sync(make_newest)
        at_once = await connection.run_sync(described)
    assert at_once == by_migrations
    assert len(at_once[0]) > 50
    assert [row for row in at_once[1]["alembic_version"] if NEWEST in row]


async def test_sqlite_is_what_the_migrations_make(tmp_path: Path) -> None:
    await assert_same(f"sqlite:///{tmp_path / 'one.db'}", f"sqlite:///{tmp_path / 'other.db'}")


async def test_postgresql_is_what_the_migrations_make(postgres_server_url: str) -> None:
    async with (
        fresh_database(postgres_server_url) as one,
        fresh_database(postgres_server_url) as other,
    ):
        await assert_same(one, other)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_what_is_kept_is_of_the_last_migration(dialect: str) -> None:
    schema, _ = read_newest(dialect)
    assert schema == NEWEST, "run `python -m tests.newest_schema`"
    assert newest_file(dialect).name == f"{dialect}.sql"


async def test_two_databases_are_not_the_same_store(tmp_path: Path) -> None:
    ids = set()
    for name in ("one", "other"):
        async with changing(f"sqlite:///{tmp_path / name}.db") as connection:
            await connection.run_sync(make_newest)
            ids.add((await connection.execute(text("SELECT store_id FROM revision"))).scalar_one())
    assert len(ids) == 2


async def test_migrations_follow_where_what_is_kept_is_older(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [f"sqlite:///{tmp_path / name}.db" for name in ("old", "migrated", "made")]
    async with changing(urls[0]) as connection:
        older = await connection.run_sync(statements_of, "0012")
    async with changing(urls[1]) as connection:
        await connection.run_sync(apply_migrations)
        expected = await connection.run_sync(described)
    monkeypatch.setattr(newest, "read_newest", lambda _: ("0012", older))
    async with aclosing(Database(urls[2])) as database:
        assert await migrate(database) == (None, NEWEST)
    async with changing(urls[2]) as connection:
        assert await connection.run_sync(described) == expected
