"""Writes what the migrations come to, from which empty databases are made at once.

`python -m tests.newest_schema`, after a migration was added; `test_newest.py` tells when it is due.
"""

import asyncio
import tempfile
from contextlib import aclosing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, text

from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.migrate import apply_migrations, known_schemas
from modelplane.control_plane.store.newest import write_newest
from tests.postgres import running_postgres

_CHANGES = ("CREATE ", "ALTER ", "DROP ")


def statements_of(connection: Connection, last: str = "head") -> list[str]:
    """Apply the migrations to an empty database; return the statements that make its like."""
    if connection.dialect.name == "sqlite":
        # It keeps them as they were given, with what was added since.
        apply_migrations(connection, last)
        own = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
        return [str(row[0]).strip() for row in connection.execute(text(f"{own} ORDER BY rowid"))]
    made: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: Any) -> None:
        if statement.strip().startswith(_CHANGES):
            made.append(statement.strip())

    event.listen(connection, "before_cursor_execute", note)
    apply_migrations(connection, last)
    return made


async def _write(url: str) -> None:
    async with aclosing(Database(url)) as database, database.change_schema() as connection:
        statements = await connection.run_sync(statements_of)
        write_newest(connection.dialect.name, max(known_schemas()), statements)


def main() -> None:
    """Write both files."""
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_write(f"sqlite:///{Path(directory) / 'newest.db'}"))
    with running_postgres() as server:
        asyncio.run(_write(server.url()))


if __name__ == "__main__":
    main()
