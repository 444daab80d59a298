"""Copies of a whole database, taken while it is in use, and put where nothing is.

SQLite copies itself; PostgreSQL is copied by its own programs, which have to be there. Before:
`control_plane.backup`.
"""

import os
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from sqlalchemy import Connection, inspect

from modelplane.adapters.shared.settings import environment
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.migrate import METADATA, read_schema

_OWNER_ONLY = 0o600


async def schema_of(database: Database) -> str | None:
    """Return the schema of a database; None: it has none of this program's tables.

    Raises:
        StoreUnavailable: The database does not answer.
        DatabaseUnusable: It is damaged.
        ValueError: It has some of them, and no schema.
    """
    # Others may be writing.
    async with database.read() as session:
        return await (await session.connection()).run_sync(_schema)


def _schema(connection: Connection) -> str | None:
    found = read_schema(connection)
    names = {table.name for table in METADATA.sorted_tables}
    if found is None and names & set(inspect(connection).get_table_names()):
        raise ValueError("the database has tables, but does not say of which schema they are")
    return found


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy an SQLite database, what is in its log included, to a file that is not there.

    Raises:
        OSError: It is there, or cannot be written.
        ValueError: What was copied is damaged.
    """
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _OWNER_ONLY))
    try:
        with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
            old.backup(new)
            # A file of one piece, with no log beside it.
            new.execute("PRAGMA journal_mode=DELETE")
            [(found,)] = new.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.Error as error:
        target.unlink()
        raise ValueError(f"{source} cannot be copied: {error}") from error
    if found != "ok":
        target.unlink()
        raise ValueError(f"{source} is damaged: {found}")


def dump_postgresql(url: str, target: Path) -> None:
    """Copy a PostgreSQL database into a file that is not there.

    Raises:
        OSError: It is there, or cannot be written.
        ValueError: It could not be copied, or PostgreSQL's programs are not here.
    """
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _OWNER_ONLY))
    try:
        _run("pg_dump", url, "--format=custom", "--no-owner", f"--file={target}")
    except ValueError:
        target.unlink()
        raise


def load_postgresql(url: str, source: Path) -> None:
    """Put a copy into an empty PostgreSQL database, all of it or nothing.

    Raises:
        ValueError: It could not be, or PostgreSQL's programs are not here.
    """
    name = _variables(url).get("PGDATABASE", "")
    options = ("--no-owner", "--exit-on-error", "--single-transaction", f"--dbname={name}")
    _run("pg_restore", url, *options, str(source))


def _run(program: str, url: str, *options: str) -> None:
    variables = {**environment(), **_variables(url)}
    try:
        # The URL goes by the environment: whoever lists processes would see the password.
        done = subprocess.run(  # noqa: S603 - PostgreSQL's own
            [program, "--no-password", *options],
            env=variables,
            check=False,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        raise ValueError(
            f"{program} is not here: install the client programs of PostgreSQL, of the server's "
            "version or newer (Debian: apt install postgresql-client)"
        ) from None
    if done.returncode:
        raise ValueError(f"{program} failed: {done.stderr.strip()[-500:]}")


def _variables(url: str) -> Mapping[str, str]:
    """Return a URL as the variables that PostgreSQL's programs read."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    found = {
        "PGHOST": parts.hostname or query.get("host", [""])[-1],
        "PGPORT": str(parts.port or ""),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.removeprefix("/")),
        "PGSSLMODE": query.get("ssl", query.get("sslmode", [""]))[-1],
    }
    return {name: value for name, value in found.items() if value}
