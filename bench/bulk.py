"""Fills a store with copies of one endpoint that the API made: 10,000 calls take minutes.

Used by `bench/control_plane.py` while no control plane runs on the database.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
from modelserving.v1.endpoint_pb2 import EndpointConfig

# Table, column that identifies the endpoint.
_TABLES = (
    ("endpoint", "id"),
    ("endpoint_config", "endpoint_id"),
    ("secret_reference", "endpoint_id"),
)


def copy_endpoint(database: Path, name: str, count: int) -> None:
    """Add `count` copies of the endpoint `name` to an SQLite file, called `name-1` and so on.

    Its configuration is copied as well; where an entity or its model is called `name`, the copy's
    is called as the copy, so that no two are the same. It must not hold credentials in plaintext.
    """

    def renamed(config: bytes, new: str) -> bytes:
        return _renamed(config, name, new)

    with closing(sqlite3.connect(database)) as connection, connection:
        connection.create_function("renamed", 2, renamed, deterministic=True)
        connection.execute("CREATE TEMP TABLE copies(id TEXT, name TEXT)")
        connection.executemany("INSERT INTO copies VALUES (?, ?)", _copies(name, count))
        for table, key in _TABLES:
            _copy_rows(connection, table, key, name)


async def copy_endpoint_on_postgresql(url: str, name: str, count: int) -> None:
    """Add `count` copies of the endpoint `name` to a PostgreSQL database; see `copy_endpoint`."""
    connection = await asyncpg.connect(url)
    try:
        for table, key in _TABLES:
            query = f"SELECT * FROM {table} WHERE {key} = (SELECT id FROM endpoint WHERE name = $1)"
            rows = [dict(row) for row in await connection.fetch(query, name)]
            if not rows:
                continue
            made = [
                tuple(_copied(row, key, name, identifier, new).values())
                for identifier, new in _copies(name, count)
                for row in rows
            ]
            await connection.copy_records_to_table(table, records=made, columns=list(rows[0]))
    finally:
        await connection.close()


def _copies(name: str, count: int) -> Iterator[tuple[str, str]]:
    """Yield the identifiers and names of the copies."""
    return ((f"{number:032x}", f"{name}-{number}") for number in range(1, count + 1))


def _copied(row: dict[str, Any], key: str, name: str, identifier: str, new: str) -> dict[str, Any]:
    """Return a row as that of a copy."""
    changed = {**row, key: identifier}
    if "name" in row:
        changed["name"] = new
    if "config" in row:
        changed["config"] = _renamed(row["config"], name, new)
    return changed


def _renamed(config: bytes, name: str, new: str) -> bytes:
    """Return a configuration whose entities, models and routes are called `new` for `name`."""
    copy = EndpointConfig.FromString(config)
    for entity in copy.served_entities:
        entity.name = entity.name.replace(name, new)
        entity.external_model.name = entity.external_model.name.replace(name, new)
    for route in copy.traffic_config.routes:
        route.served_entity_name = route.served_entity_name.replace(name, new)
        route.served_model_name = route.served_model_name.replace(name, new)
    return copy.SerializeToString()


def _copy_rows(connection: sqlite3.Connection, table: str, key: str, name: str) -> None:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    values = {
        key: "copies.id",
        "name": "copies.name",
        "config": "renamed(original.config, copies.name)",
    }
    selected = ", ".join(values.get(column, f"original.{column}") for column in columns)
    connection.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {selected} "
        f"FROM {table} AS original, copies WHERE original.{key} = "
        "(SELECT id FROM endpoint WHERE name = :name)",
        {"name": name},
    )
