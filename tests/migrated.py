"""A migrated database of each kind, made once and given to every test as if it were new.

To migrate costs more than most tests do. A test of the migrations themselves takes an empty
database, one that stops its server takes a server from `tests/postgres.py`.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
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
_PATIENT_SECONDS = 120.0
_SEQUENCES = "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'"


class MigratedPostgres:
    """One database of a PostgreSQL server, that can be brought back to its first state.

    Rows are deleted rather than the database made anew: a copy of it is some hundred files.
    """

    def __init__(
        self, connection: asyncpg.Connection, url: str, tables: list[str], sequences: list[str]
    ) -> None:
        self.url = url
        # A new one would have to learn of all tables again, each time.
        self._connection = connection
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
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Self]:
        """Migrate an empty database and keep what is in it then in a schema of its own."""
        await _migrate(url)
        connection = await asyncpg.connect(url)
        try:
            tables = [row[0] for row in await connection.fetch(_TABLES)]
            sequences = [row[0] for row in await connection.fetch(_SEQUENCES)]
            await connection.execute("CREATE SCHEMA first")
            for table in tables:
                await connection.execute(f"CREATE TABLE first.{table} AS TABLE public.{table}")
            yield cls(connection, url, tables, sequences)
        finally:
            await connection.close()

    async def restore(self) -> None:
        """End all other connections and bring every row and sequence back."""
        await self._connection.execute(_END_OTHERS)
        await self._connection.execute(self._restore)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an SQLite database to copy."""
    path = tmp_path_factory.mktemp("migrated") / "test.db"
    asyncio.run(_migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def restored_postgres(postgres_server_url: str) -> Iterator[Callable[[], str]]:
    """Give what brings a PostgreSQL database back to its first state, and returns its URL."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        url = runner.run(stack.enter_async_context(fresh_database(postgres_server_url)))
        migrated = runner.run(stack.enter_async_context(MigratedPostgres.open(url)))

        def restored() -> str:
            runner.run(migrated.restore())
            return url

        yield restored
        runner.run(stack.aclose())


@pytest.fixture
def migrated_postgresql_url(restored_postgres: Callable[[], str]) -> str:
    """URL of a migrated PostgreSQL database, as good as new."""
    return restored_postgres()


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
    """A migrated database of each kind, on which no slow machine gives up."""
    async with aclosing(Database(database_url, seconds=_PATIENT_SECONDS)) as database:
        setattr(database.engine.pool, "_timeout", _PATIENT_SECONDS)  # noqa: B010 - not told
        yield database


async def _migrate(url: str) -> None:
    async with aclosing(Database(url)) as database:
        await migrate(database)
