"""A migrated database of each kind, made once and given to every test as if it were new.

To migrate costs more than most tests do. A test of the migrations themselves takes an empty
database, one that stops its server takes a server from `tests/postgres.py`.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Self

import asyncpg
import pytest

from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.migrate import migrate
from tests.postgres import fresh_database

_VERSIONS = Path(__file__).parents[1] / "control_plane" / "store" / "migrations" / "versions"
# The schema that the control plane brings a database to.
NEWEST = max(file.name.partition("_")[0] for file in _VERSIONS.glob("0*.py"))
# What a test left behind holds locks that emptying the tables would wait for.
_END_OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
_SEQUENCES = "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'"


class MigratedPostgres:
    """One database of a PostgreSQL server, that can be brought back to its first state.

    Rows are deleted rather than the database made anew: a copy of it is some hundred files.
    """

    def __init__(self, url: str, tables: list[str], sequences: list[str]) -> None:
        self.url = url
        self._restore = "\n".join(
            (
                "BEGIN;",
                # References hold again at the end.
                "SET LOCAL session_replication_role = replica;",
                *(f"DELETE FROM public.{table};" for table in tables),
                *(f"INSERT INTO public.{table} TABLE first.{table};" for table in tables),
                *(f"ALTER SEQUENCE public.{sequence} RESTART;" for sequence in sequences),
                "COMMIT;",
            )
        )

    @classmethod
    async def open(cls, url: str) -> Self:
        """Migrate an empty database and keep what is in it then in a schema of its own."""
        await _migrate(url)
        async with _connection(url) as connection:
            tables = [row[0] for row in await connection.fetch(_TABLES)]
            sequences = [row[0] for row in await connection.fetch(_SEQUENCES)]
            await connection.execute("CREATE SCHEMA first")
            for table in tables:
                await connection.execute(f"CREATE TABLE first.{table} AS TABLE public.{table}")
        return cls(url, tables, sequences)

    async def restore(self) -> None:
        """End all other connections and bring every row and sequence back."""
        async with _connection(self.url) as connection:
            await connection.execute(_END_OTHERS)
            await connection.execute(self._restore)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an SQLite database to copy."""
    path = tmp_path_factory.mktemp("migrated") / "test.db"
    asyncio.run(_migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server_url: str) -> Iterator[MigratedPostgres]:
    """Give a PostgreSQL database to restore before each use."""
    with asyncio.Runner() as runner:
        fresh = fresh_database(postgres_server_url)
        url = runner.run(fresh.__aenter__())
        yield runner.run(MigratedPostgres.open(url))
        runner.run(fresh.__aexit__(None, None, None))


@pytest.fixture
async def migrated_postgresql_url(migrated_postgres: MigratedPostgres) -> str:
    """URL of a migrated PostgreSQL database, as good as new."""
    await migrated_postgres.restore()
    return migrated_postgres.url


@pytest.fixture
def migrated_sqlite_url(migrated_file: Path, tmp_path: Path) -> str:
    """URL of a migrated SQLite database of the test's own."""
    return f"sqlite:///{shutil.copy(migrated_file, tmp_path / 'test.db')}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of a migrated database; every test with it runs on SQLite and on PostgreSQL."""
    return str(request.getfixturevalue(f"migrated_{request.param}_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database of each kind."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database of each kind."""
    async with aclosing(Database(database_url)) as database:
        yield database


async def _migrate(url: str) -> None:
    async with aclosing(Database(url)) as database:
        await migrate(database)


@asynccontextmanager
async def _connection(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()
