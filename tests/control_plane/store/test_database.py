import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError, OperationalError

from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.store.database import Database, is_outage
from tests.postgres import PostgresServer


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (asyncpg.exceptions.CannotConnectNowError("the database system is shutting down"), True),
        (asyncpg.exceptions.AdminShutdownError("terminating connection"), True),
        (asyncpg.exceptions.CrashShutdownError("terminating connection"), True),
        (asyncpg.exceptions.TooManyConnectionsError("too many clients already"), True),
        (asyncpg.exceptions.ConnectionDoesNotExistError("connection was closed"), True),
        (asyncpg.exceptions.UndefinedTableError("no such relation"), False),
        (asyncpg.exceptions.QueryCanceledError("canceled by the user"), False),
    ],
)
def test_what_the_server_says_tells_an_outage_from_a_bug(
    error: asyncpg.PostgresError,
    *,
    outage: bool,
) -> None:
    driver_error = AsyncAdapt_asyncpg_dbapi.Error(str(error), error)  # type: ignore[no-untyped-call]
    assert is_outage(DBAPIError("SELECT 1", {}, driver_error)) is outage


def test_an_unreachable_server_is_an_outage() -> None:
    assert is_outage(ConnectionRefusedError())
    assert is_outage(OperationalError("SELECT 1", {}, Exception("no such host")))
    assert not is_outage(ValueError())


async def test_a_wrong_statement_is_no_outage(database: Database) -> None:
    with pytest.raises(DBAPIError, match="nothing_like_this"):
        async with database.read() as session:
            await (await session.connection()).execute(text("SELECT 1 FROM nothing_like_this"))


async def test_sessions_fail_clearly_while_the_server_is_away_and_work_again_after(
    postgres_server: PostgresServer,
) -> None:
    database = Database(postgres_server.url())
    try:
        await _ask(database)
        postgres_server.stop(kill=True)
        with pytest.raises(StoreUnavailable):
            await _ask(database)
        postgres_server.start()
        await _ask(database)
    finally:
        await database.aclose()


async def _ask(database: Database) -> None:
    async with database.read() as session:
        await (await session.connection()).execute(text("SELECT 1"))
