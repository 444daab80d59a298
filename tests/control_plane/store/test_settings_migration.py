"""Settings of earlier releases that never had an effect go when the database is migrated."""

import json
import logging
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlmodel import select

from modelplane.control_plane.store import migrate as migrate_module
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import records
from modelplane.control_plane.store.endpoints.records import EndpointRecord
from modelplane.control_plane.store.migrate import migrate
from modelplane.control_plane.store.tables import EndpointRow

_LIMITS = [{"calls": 3, "key": "endpoint", "renewal_period": "minute"}]
_GUARDRAILS = {"input": {"pii": {"behavior": "BLOCK"}}}
_TABLE = {"catalog_name": "c", "enabled": True, "schema_name": "s", "table_name_prefix": "both"}
_OLD = {
    "all": {
        "ai_gateway_json": json.dumps(
            {"guardrails": _GUARDRAILS, "inference_table_config": _TABLE, "rate_limits": _LIMITS}
        ),
        "email_notifications_json": '{"on_update_failure":["a@example.com"]}',
        "budget_policy_id": "b-1",
    },
    "guarded": {"ai_gateway_json": json.dumps({"guardrails": _GUARDRAILS})},
    "plain": {"ai_gateway_json": json.dumps({"rate_limits": _LIMITS})},
    "bare": {},
}


def _upgrade_to_0009(connection: Connection) -> None:
    config = Config()
    migrations = Path(migrate_module.__file__).parent / "migrations"
    config.set_main_option("script_location", str(migrations))
    config.attributes["connection"] = connection
    command.upgrade(config, "0009")


@pytest.fixture
async def old(empty_database_url: str) -> Database:
    """A database as it was before the migration."""
    database = Database(empty_database_url)
    async with database.engine.begin() as connection:
        await connection.run_sync(_upgrade_to_0009)
        for name, settings in _OLD.items():
            row = {
                "id": name,
                "name": name,
                "creator": "alice",
                "creator_id": "alice-id",
                "grants_json": "{}",
                "created_ms": 1,
                "updated_ms": 1,
                "description": "",
                "last_version": 0,
                "phase": "",
                "phase_revision": 0,
                "phase_deadline_ms": 0,
                "last_update": "NOT_UPDATING",
                "last_update_message": "",
                "ready": False,
                "activated_revision": 0,
                "tags_json": "[]",
                "rate_limits_json": "[]",
                **settings,
            }
            values = ", ".join(f":{column}" for column in row)
            insert = text(f"INSERT INTO endpoint ({', '.join(row)}) VALUES ({values})")
            await connection.execute(insert, row)
    return database


async def test_they_go_and_the_log_says_so(old: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    await migrate(old)
    found: dict[str, EndpointRecord] = {}
    async with old.read() as session:
        for name in _OLD:
            record = await records.find(session, name)
            assert record is not None
            found[name] = record
        query = select(EndpointRow.email_notifications_json, EndpointRow.budget_policy_id)
        rows = (await session.exec(query)).all()
    await old.aclose()
    assert set(rows) == {(None, None)}
    for name in ("all", "plain"):
        gateway = found[name].ai_gateway
        assert gateway is not None
        assert [limit.calls for limit in gateway.rate_limits] == [3]
        assert not gateway.HasField("guardrails")
        assert not gateway.HasField("inference_table_config")
    assert found["guarded"].ai_gateway is None
    assert found["bare"].ai_gateway is None
    said = [item.getMessage() for item in caplog.records if "settings of" in item.getMessage()]
    gone = {
        "all": "ai_gateway.guardrails, ai_gateway.inference_table_config, email_notifications, "
        "budget_policy_id",
        "guarded": "ai_gateway.guardrails",
    }
    assert said == [
        f"Endpoint '{name}' had settings of an earlier release that never had an effect; they are "
        f"no longer shown: {names}"
        for name, names in gone.items()
    ]
