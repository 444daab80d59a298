"""The tests' PostgreSQL itself: databases are apart, and committed rows outlive a crash."""

import asyncio

import asyncpg

from tests.postgres import PostgresServer


async def test_each_test_gets_an_empty_database(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        rows = await connection.fetch("SELECT 1 FROM pg_tables WHERE schemaname = 'public'")
    finally:
        await connection.close()
    assert rows == []


def test_committed_rows_outlive_a_killed_server(postgres_server: PostgresServer) -> None:
    async def query(statement: str) -> object:
        connection = await asyncpg.connect(postgres_server.url())
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    asyncio.run(query("CREATE TABLE kept AS SELECT 7 AS number"))
    postgres_server.stop(kill=True)
    postgres_server.start()
    assert asyncio.run(query("SELECT number FROM kept")) == 7
