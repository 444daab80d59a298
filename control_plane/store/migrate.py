"""Bring the schema up to date at start, or say in plain words why that cannot be done.

Several replicas may start at once. Before: `server.vault`. After: `migrations`, `database`. Beside:
`carry_over`, for databases of before the first release.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect, text

from modelplane.control_plane.store import tables
from modelplane.control_plane.store.database import Database, DatabaseUnusable
from modelplane.control_plane.store.endpoints import tables as rollout_tables
from modelplane.control_plane.store.hosting import tables as hosting_tables
from modelplane.control_plane.store.usage import tables as usage_tables

# All tables, which the imports have filled in.
METADATA: MetaData = tables.EndpointRow.metadata
assert rollout_tables.RolloutRow.metadata is METADATA  # noqa: S101
assert usage_tables.UsageRow.metadata is METADATA  # noqa: S101
assert hosting_tables.ReplicaGroupRow.metadata is METADATA  # noqa: S101

# Schemas of before the first release, and the last commit whose control plane has them.
OLD_SCHEMAS = tuple(f"{number:04}" for number in range(1, 11))
OLD_COMMIT = "2287867"

# Any number will do, as long as no other program locks it in the same database.
_ADVISORY_LOCK = 0x6D6F64656C


async def migrate(database: Database) -> tuple[str | None, str | None]:
    """Apply all migrations that the database lacks; return its schema before (None) and after.

    Raises:
        StoreUnavailable: The database does not answer.
        DatabaseUnusable: It is of another release, or damaged.
    """
    async with database.change_schema() as connection:
        return await connection.run_sync(_upgrade, f"The database {database.place}")


async def require_schema(database: Database, schema: str | None = None) -> None:
    """Check that the database has a schema, and change nothing.

    Args:
        database: The database.
        schema: The schema; None: the one of this release.

    Raises:
        StoreUnavailable: The database does not answer.
        DatabaseUnusable: It has another schema, or is damaged.
    """
    async with database.change_schema() as connection:
        await connection.run_sync(check_schema, f"The database {database.place}", schema)


def lock_schema(connection: Connection) -> None:
    """Keep others from changing the schema until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})


def read_schema(connection: Connection) -> str | None:
    """Return the schema that the database says it has; None: it does not say."""
    return ", ".join(sorted(MigrationContext.configure(connection).get_current_heads())) or None


def known_schemas() -> set[str]:
    """Return the schemas that this release can bring up to date, its own included."""
    return {item.revision for item in ScriptDirectory.from_config(_config()).walk_revisions()}


def config_of(connection: Connection) -> Config:
    """Return what Alembic needs to change the database of a connection."""
    config = _config()
    config.attributes["connection"] = connection
    return config


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _upgrade(connection: Connection, subject: str) -> tuple[str | None, str | None]:
    lock_schema(connection)
    before = read_schema(connection)
    config = config_of(connection)
    if refusal := _refusal(connection, ScriptDirectory.from_config(config)):
        raise DatabaseUnusable(f"{subject} {refusal}")
    command.upgrade(config, "head")
    if missing := _missing(connection):
        raise DatabaseUnusable(
            f"{subject} is damaged: it lacks {', '.join(missing)}. Put back a copy of it."
        )
    return before, read_schema(connection)


def _refusal(connection: Connection, script: ScriptDirectory) -> str:
    """Return why the database cannot be brought up to date; empty: it can."""
    found = read_schema(connection)
    if found is None:
        return _refusal_without_schema(connection)
    if found in known_schemas():
        return ""
    if found == OLD_SCHEMAS[-1]:
        return (
            f"has schema {found}, of before the first release: stop what uses it, keep a copy, and "
            "run `modelplane carry-over` with the same --data-dir or --database-url. The last "
            f"commit that runs on it as it is is {OLD_COMMIT}."
        )
    if found in OLD_SCHEMAS:
        return (
            f"has schema {found}, which cannot be carried over at once: start the control plane of "
            f"commit {OLD_COMMIT} on it, which brings it to schema {OLD_SCHEMAS[-1]}, stop that, "
            "and run `modelplane carry-over`."
        )
    return (
        f"has schema {found}, of a newer release; this one knows schemas up to "
        f"{script.get_current_head()}. Start the newer release, or put back a copy from before it "
        "was first started."
    )


def check_schema(connection: Connection, subject: str, schema: str | None) -> None:
    """Check that a database has a schema; None: the one of this release.

    Raises:
        DatabaseUnusable: It has another one.
    """
    script = ScriptDirectory.from_config(config_of(connection))
    found, wanted = read_schema(connection), schema or script.get_current_head()
    if found != wanted:
        other = f"has schema {found}; this needs schema {wanted}." if found else "is empty."
        raise DatabaseUnusable(f"{subject} {_refusal(connection, script) or other}")


def _refusal_without_schema(connection: Connection) -> str:
    # Tables of other programs may lie beside those of this one.
    names = {table.name for table in METADATA.sorted_tables}
    if not (own := sorted(names & set(inspect(connection).get_table_names()))):
        return ""
    return (
        f"has tables called {', '.join(own[:3])}, but does not say of which schema they are: it is "
        "damaged, or another program's. Put back a copy of it, or use another database."
    )


def _missing(connection: Connection) -> list[str]:
    columns = inspect(connection).get_multi_columns()
    found = {(table, item["name"]) for (_, table), items in columns.items() for item in items}
    wanted = {
        (table.name, column.name) for table in METADATA.sorted_tables for column in table.columns
    }
    return [f"{table}.{column}" for table, column in sorted(wanted - found)][:5]
