"""Databases that commit 2287867, the last before the first release, has made: as SQL, and as told.

Each was filled through the API of a running deployment, on SQLite and on PostgreSQL, and dumped
when that had stopped. The JSON holds what the API answered then. All is sealed with the master key
`MASTER_KEY`.
"""

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

_HERE = Path(__file__).parent
MASTER_KEY = b"k" * 32


@dataclass(frozen=True)
class Facts:
    """What is in a database.

    Attributes:
        bob_token: Access token of the user `bob@example.com`.
        issuer: Outside issuer of JWTs, with one key.
        answers: What the API answered an administrator, by path.
    """

    bob_token: str
    issuer: str
    answers: dict[str, Any]


def facts_of(url: str) -> Facts:
    """Return what is in the database of the kind that `url` names."""
    return Facts(**json.loads((_HERE / f"{_kind(url)}.json").read_text()))


def restore_sqlite(file: Path) -> None:
    """Make the SQLite database."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript((_HERE / "sqlite.sql").read_text())


async def restore(url: str) -> None:
    """Make the database of the kind that `url` names, in an empty one."""
    if _kind(url) == "sqlite":
        restore_sqlite(Path(url.removeprefix("sqlite:///")))
        return
    connection = await asyncpg.connect(url)
    try:
        await connection.execute((_HERE / "postgresql.sql").read_text())
    finally:
        await connection.close()


def _kind(url: str) -> str:
    return url.partition(":")[0]
