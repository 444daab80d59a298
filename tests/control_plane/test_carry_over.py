"""A database of before the first release is carried over whole, or not at all."""

import re
import stat
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from google.protobuf import json_format
from google.protobuf.message import Message
from sqlalchemy import Connection, inspect, text

from modelplane.control_plane.carry_over import main, run
from modelplane.control_plane.endpoints.config_history import ConfigHistory
from modelplane.control_plane.endpoints.views import build_endpoint, build_version
from modelplane.control_plane.identity.authentication import Authenticator
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.keyring import FixedKeys
from modelplane.control_plane.settings import Settings
from modelplane.control_plane.store.carry_over import carry_over
from modelplane.control_plane.store.database import Database, DatabaseUnusable, existing_database
from modelplane.control_plane.store.endpoints.records import find, list_versions
from modelplane.control_plane.store.endpoints.references import find_users
from modelplane.control_plane.store.identity.issuers import load_outside_issuers
from modelplane.control_plane.store.migrate import METADATA, migrate
from modelplane.control_plane.store.usage.filters import UsageFilter
from modelplane.control_plane.usage.reader import UsageReader
from tests.control_plane.before_release import MASTER_KEY, Facts, facts_of, restore
from tests.control_plane.conftest import FakeClock
from tests.emulators import openai
from tests.migrated import NEWEST

ADMIN = Principal("1", "admin", admin=True)
ENDPOINTS = "/api/2.0/serving-endpoints"
CHANGED = {
    "alembic_version",
    "endpoint",
    "endpoint_config",
    "issuer",
    "refusal",
    "secret_reference",
}
# Tables that were not there before.
NEW = (
    "endpoint_alias",
    "endpoint_change",
    "group_demand",
    "group_log",
    "launcher",
    "measured_throughput",
    "metrics_reporter",
    "payload_table",
    "replica_group",
    "rollout",
    "rollout_workers",
    "series",
    "usage_margin",
    "usage_period",
    "usage_price",
    "usage_total",
)
# What tables have got since then, at the end of each row.
ADDED = {
    "access_token": "None",
    "endpoint_metrics": "0, 0, 0",
    "event": "None",
    "quota": "0",
    "revision": "0",
    "usage_origin": "'', '', ''",
    "usage_query": "'', '{}'",
}


@pytest.fixture
async def url(empty_database_url: str) -> str:
    """URL of a database of before the first release."""
    await restore(empty_database_url)
    return empty_database_url


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with aclosing(Database(url)) as database:
        yield database


@pytest.fixture
def facts(url: str) -> Facts:
    return facts_of(url)


async def carried(url: str) -> list[str]:
    """Carry the database over, and return what was said."""
    said: list[str] = []
    await run(Settings(database_url=url), said.append)
    return said


async def contents(database: Database) -> dict[str, Any]:
    """Return the rows of all tables that stay as they are."""
    async with database.engine.connect() as connection:
        names = await connection.run_sync(lambda one: inspect(one).get_table_names())
        return {
            name: sorted(map(repr, (await connection.execute(text(f"SELECT * FROM {name}"))).all()))
            for name in set(names) - CHANGED
        }


async def schema(database: Database) -> str:
    async with database.engine.connect() as connection:
        found = await connection.execute(text("SELECT version_num FROM alembic_version"))
        return str(found.scalar_one())


def as_json(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


async def test_it_is_refused_until_it_is_carried_over(url: str, database: Database) -> None:
    with pytest.raises(DatabaseUnusable, match=r"has schema 0010.*run `modelplane carry-over`"):
        await migrate(database)
    assert (await carried(url))[-1].startswith("done: 3 endpoints")
    await migrate(database)


async def test_the_schema_is_that_of_a_new_database(url: str, database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    await carried(url)
    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_endpoints_and_their_versions_are_told_as_before(
    url: str, database: Database, facts: Facts
) -> None:
    await carried(url)
    async with database.read() as session:
        for name in ("chat", "plain", "empty"):
            record = await find(session, name)
            assert record is not None
            told = as_json(build_endpoint(record, ADMIN))
            assert told == facts.answers[f"{ENDPOINTS}/{name}"]
        chat = await find(session, "chat")
        assert chat is not None
        versions = [build_version(item) for item in await list_versions(session, chat.id)]
    before = facts.answers[f"{ENDPOINTS}/chat/config-versions"]
    assert [as_json(version) for version in versions] == before["config_versions"]
    limits = [as_json(limit) for limit in chat.settings.rate_limits]
    assert limits == facts.answers[f"{ENDPOINTS}/chat/rate-limits"]["rate_limits"]
    differences = await ConfigHistory(database).compare(ADMIN, "chat", 1, 2)
    before = facts.answers[f"{ENDPOINTS}/chat/config-versions/1:compare?to_version=2"]
    assert [as_json(item) for item in differences] == before["differences"]


async def test_credentials_are_opened_and_references_are_known(
    url: str, database: Database, facts: Facts
) -> None:
    await carried(url)
    ids = {item["name"]: item["id"] for item in facts.answers[ENDPOINTS]["endpoints"]}
    async with database.read() as session:
        assert await find_users(session, "team", "openai") == [ids["chat"]]
        assert await find_users(session, "team", None) == [ids["chat"]]
        chat = await find(session, "chat")
        assert chat is not None
        assert chat.active is not None
        resolver = CredentialResolver(Sealer(FixedKeys(MASTER_KEY)))
        config = await resolver.resolve(session, chat.id, chat.active.config)
    keys = {
        entity.name: entity.external_model.openai_config.openai_api_key_plaintext
        for entity in config.served_entities
    }
    assert keys == {"one": openai.API_KEY, "two": openai.API_KEY}


async def test_all_else_stays_as_it_is(
    url: str, database: Database, facts: Facts, clock: FakeClock
) -> None:
    before = await contents(database)
    await carried(url)
    # What is new since then is empty.
    for name, values in ADDED.items():
        before[name] = sorted(f"{row.removesuffix(')')}, {values})" for row in before[name])
    async with existing_database(url) as anew:
        after = await contents(anew)
    # When what was counted is recorded from.
    told = [re.sub(r", \d{13}, 0, 0\)$", ", 0, 0, 0)", row) for row in after["endpoint_metrics"]]
    assert told
    assert after | {"endpoint_metrics": told} == before | {name: [] for name in NEW}
    assert {"access_token", "audit_event", "credential", "secret", "usage_query"} <= before.keys()
    assert all(before[name] for name in ("access_token", "credential", "secret", "usage_query"))
    async with database.read() as session:
        (issuer,) = await load_outside_issuers(session)
    assert (issuer.issuer, list(issuer.audiences), len(issuer.keys)) == (
        facts.issuer,
        ["modelplane"],
        1,
    )
    authenticator = Authenticator(database, clock)
    caller = await authenticator.authenticate(f"Bearer {facts.bob_token}")
    assert caller.name == "bob@example.com"
    tagged = UsageFilter(endpoint="chat", tag=("team", "a"))
    queries, _ = await UsageReader(database).queries(ADMIN, tagged, 10, "")
    assert len(queries) == 4


async def test_an_error_leaves_all_as_it_was(database: Database) -> None:
    def broken(_config: object) -> set[tuple[str, str]]:
        raise KeyError("broken")

    before = await contents(database)
    with pytest.raises(KeyError):
        await carry_over(database, broken)
    assert await contents(database) == before
    assert await schema(database) == "0010"


async def test_another_schema_is_refused(url: str, database: Database) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '0007'"))
    with pytest.raises(DatabaseUnusable, match="start the control plane of commit 2287867 on it"):
        await carried(url)
    async with database.engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '0010'"))
    await carried(url)
    with pytest.raises(DatabaseUnusable, match=f"has schema {NEWEST}; this needs schema 0010"):
        await carried(url)


async def test_an_sqlite_file_is_copied_first(tmp_path: Path) -> None:
    file, copy = tmp_path / "modelplane.db", tmp_path / "modelplane-schema-0010.db"
    await restore(f"sqlite:///{file}")
    file.chmod(0o640)
    said = await carried(f"sqlite:///{file}")
    assert said[0] == f"copied to {copy}"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o640
    async with aclosing(Database(f"sqlite:///{copy}")) as database:
        assert await schema(database) == "0010"
    file.unlink()
    await restore(f"sqlite:///{file}")
    with pytest.raises(ValueError, match="is there from another time; move it away first"):
        await carried(f"sqlite:///{file}")


def test_the_command_says_in_one_line_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data-dir", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    file = tmp_path / "modelplane.db"
    assert said == f"modelplane carry-over: there is no database {file}; is --data-dir right?\n"
    file.write_text("no database" * 100)
    assert main(["--data-dir", str(tmp_path)]) == 1
    assert "cannot be used: file is not a database" in capsys.readouterr().err
