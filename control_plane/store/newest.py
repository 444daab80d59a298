"""Makes the newest schema in an empty database at once, instead of one migration after the other.

`migrations/newest/` holds what the migrations come to, for each kind of database, as
`python -m tests.newest_schema` writes it after each new migration: they remain what says how a
schema is. Where it is older than the last of them, the rest follows one by one. Before: `migrate`.
"""

import re
import uuid
from pathlib import Path

from sqlalchemy import Connection, text

_FILES = Path(__file__).parent / "migrations" / "newest"
_FIRST_LINE = re.compile(r"-- Schema (\d{4})\.")
# Between two statements.
SEPARATOR = ";\n\n"


def make_newest(connection: Connection) -> None:
    """Make all tables, what they begin with, and the note of the schema, within a transaction."""
    schema, statements = read_newest(connection.dialect.name)
    for statement in statements:
        connection.exec_driver_sql(statement)
    connection.execute(text("INSERT INTO alembic_version VALUES (:schema)"), {"schema": schema})
    first = "INSERT INTO revision (id, revision, compacted, store_id) VALUES (1, 0, 0, :store)"
    connection.execute(text(first), {"store": uuid.uuid4().hex})


def read_newest(dialect: str) -> tuple[str, list[str]]:
    """Return the schema that is kept for a kind of database, and the statements that make it.

    Raises:
        ValueError: The file does not say of which schema it is.
    """
    head, _, body = newest_file(dialect).read_text().partition("\n")
    if not (found := _FIRST_LINE.match(head)):
        raise ValueError(f"{newest_file(dialect)} does not begin with its schema")
    return found[1], [one for one in body.strip().removesuffix(";").split(SEPARATOR) if one]


def write_newest(dialect: str, schema: str, statements: list[str]) -> None:
    """Keep the statements that make a schema; see `read_newest`."""
    head = f"-- Schema {schema}. Written by tests/newest_schema.py from the migrations.\n\n"
    newest_file(dialect).write_text(head + SEPARATOR.join(statements) + ";\n")


def newest_file(dialect: str) -> Path:
    """Return where the statements for a kind of database are."""
    return _FILES / f"{dialect}.sql"
