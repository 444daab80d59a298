"""The usage that an older version has stored is kept, and the tables are what the code says."""

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlmodel import SQLModel

from modelplane.control_plane.store import migrate as migrate_module
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.migrate import migrate
from modelplane.control_plane.store.usage.queries import StoredQuery, UsageFilter
from modelplane.control_plane.store.usage.tables import UsageState
from modelplane.control_plane.usage.reader import UsageReader
from tests.control_plane.conftest import ALICE

_OLD_ROW = {
    "id": "00" * 16,
    "journal_id": "00" * 8,
    "state": "ENDED",
    "request_id": "r",
    "client_request_id": "c",
    "usage_context_json": '{"team":"a"}',
    "time_ms": 1_699_617_500_000,
    "endpoint_id": "e-1",
    "endpoint_name": "chat",
    "tags_json": '[{"key":"team","value":"b"}]',
    "config_version": 3,
    "served_entity_id": "s-1",
    "served_entity_name": "first",
    "task": "llm/v1/chat",
    "requester_id": "p-1",
    "requester": "bob",
    "streaming": True,
    "status_code": 200,
    "error": "",
    "input_tokens": 10,
    "output_tokens": 20,
    "cached_tokens": None,
    "reasoning_tokens": None,
    "estimated": False,
    "input_characters": 5,
    "output_characters": 80,
    "latency_ms": 12.5,
    "first_chunk_ms": 3.5,
    "attempts_json": '[{"served_entity_name":"first","error":"","latency_ms":11.0}]',
}


@pytest.fixture
async def old(empty_database_url: str) -> Database:
    """A database as it was before the migration."""
    database = Database(empty_database_url)
    async with database.engine.begin() as connection:
        await connection.run_sync(_upgrade_to_0008)
        columns = ", ".join(_OLD_ROW)
        values = ", ".join(f":{name}" for name in _OLD_ROW)
        insert = text(f"INSERT INTO usage ({columns}) VALUES ({values})")
        for number in range(3):
            changes = {"id": f"{number:032}", "time_ms": 1_699_617_500_000 + number}
            requester = "carol" if number == 1 else "bob"
            state = "RUNNING" if number == 2 else "ENDED"
            row = _OLD_ROW | changes | {"requester": requester, "state": state}
            await connection.execute(insert, row)
    return database


def _upgrade_to_0008(connection: Connection) -> None:
    config = Config()
    migrations = Path(migrate_module.__file__).parent / "migrations"
    config.set_main_option("script_location", str(migrations))
    config.attributes["connection"] = connection
    command.upgrade(config, "0008")


async def test_rows_are_kept(old: Database) -> None:
    await migrate(old)
    queries, _ = await UsageReader(old).queries(ALICE, UsageFilter(), 10, "")
    by_bob, _ = await UsageReader(old).queries(ALICE, UsageFilter(requester="bob"), 10, "")
    await old.aclose()
    assert [(query.state, query.requester) for query in queries] == [
        (UsageState.RUNNING, "bob"),
        (UsageState.ENDED, "carol"),
        (UsageState.ENDED, "bob"),
    ]
    assert by_bob == [queries[0], queries[2]]
    assert queries[2] == StoredQuery(
        id=f"{0:032}",
        state=UsageState.ENDED,
        request_id="r",
        client_request_id="c",
        usage_context={"team": "a"},
        time_ms=1_699_617_500_000,
        endpoint_id="e-1",
        endpoint_name="chat",
        tags={"team": "b"},
        config_version=3,
        served_entity_id="s-1",
        served_entity_name="first",
        task="llm/v1/chat",
        requester_id="p-1",
        requester="bob",
        streaming=True,
        status_code=200,
        error="",
        input_tokens=10,
        output_tokens=20,
        cached_tokens=None,
        reasoning_tokens=None,
        estimated=False,
        input_characters=5,
        output_characters=80,
        latency_ms=12.5,
        first_chunk_ms=3.5,
        attempts=[{"served_entity_name": "first", "error": "", "latency_ms": 11.0}],
    )


async def test_the_tables_are_those_of_the_migrations(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), SQLModel.metadata))

    async with database.engine.connect() as connection:
        found = await connection.run_sync(differences)
    assert [one for one in found if "usage" in str(one)] == []
