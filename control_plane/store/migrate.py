"""Bring the schema up to date at start, or say in plain words why that cannot be done.

Several replicas may start at once. Alembic, which takes 10 MiB, is loaded only where there is
something to be changed; an empty database gets the newest schema at once. Before: `server.vault`.
After: `newest`, `migrations`, `database`. Beside: `carry_over`, for databases of before the first
release.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, MetaData, inspect, text

from modelplane.control_plane.store import tables
from modelplane.control_plane.store.database import Database, DatabaseUnusable
from modelplane.control_plane.store.endpoints import tables as rollout_tables
from modelplane.control_plane.store.hosting import tables as hosting_tables
from modelplane.control_plane.store.newest import make_newest
from modelplane.control_plane.store.usage import tables as usage_tables

if TYPE_CHECKING:
    from alembic.config import Config

# All tables, which the imports have filled in.
METADATA: MetaData = tables.EndpointRow.metadata
assert rollout_tables.RolloutRow.metadata is METADATA  # noqa: S101
assert usage_tables.UsageRow.metadata is METADATA  # noqa: S101
assert hosting_tables.ReplicaGroupRow.metadata is METADATA  # noqa: S101

# Schemas of before the first release, and the last commit whose control plane has them.
OLD_SCHEMAS = tuple(f"{number:04}" for number in range(1, 11))
OLD_COMMIT = "2287867"

_MIGRATIONS = Path(__file__).parent / "migrations"

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
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalars()
    return ", ".join(sorted(found)) or None


def known_schemas() -> set[str]:
    """Return the schemas that this release can bring up to date, its own included."""
    return {path.name[:4] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py")}


def _alembic() -> Any:  # noqa: ANN401 - a module
    """Load Alembic's commands, without what colours the pages of errors that nobody sees: 4 MiB."""
    hidden = "pygments" not in sys.modules
    if hidden:
        sys.modules["pygments"] = None  # type: ignore[assignment]
    from alembic import command  # noqa: PLC0415 - see above

    if hidden:
        del sys.modules["pygments"]
    return command


def config_of(connection: Connection) -> "Config":
    """Return what Alembic needs to change the database of a connection."""
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def apply_migrations(connection: Connection, last: str = "head") -> None:
    """Apply the migrations that a database lacks, one after the other, up to the schema `last`."""
    _alembic().upgrade(config_of(connection), last)


def _upgrade(connection: Connection, subject: str) -> tuple[str | None, str | None]:
    lock_schema(connection)
    before = read_schema(connection)
    if refusal := _refusal(connection):
        raise DatabaseUnusable(f"{subject} {refusal}")
    if before is None:
        make_newest(connection)
    if read_schema(connection) != max(known_schemas()):
        apply_migrations(connection)
    if missing := _missing(connection):
        raise DatabaseUnusable(
            f"{subject} is damaged: it lacks {', '.join(missing)}. Put back a copy of it."
        )
    return before, read_schema(connection)


def _refusal(connection: Connection) -> str:
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
        f"{max(known_schemas())}. Start the newer release, or put back a copy from before it "
        "was first started."
    )


def check_schema(connection: Connection, subject: str, schema: str | None) -> None:
    """Check that a database has a schema; None: the one of this release.

    Raises:
        DatabaseUnusable: It has another one.
    """
    found, wanted = read_schema(connection), schema or max(known_schemas())
    if found != wanted:
        other = f"has schema {found}; this needs schema {wanted}." if found else "is empty."
        raise DatabaseUnusable(f"{subject} {_refusal(connection) or other}")


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
