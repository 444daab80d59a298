"""Bring the schema up to date at start; several replicas may start at once."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from modelplane.control_plane.store.database import Database

# Any number will do, as long as no other program locks it in the same database.
_ADVISORY_LOCK = 0x6D6F64656C


async def migrate(database: Database) -> None:
    """Apply all migrations that the database lacks."""
    async with database.engine.begin() as connection:
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
