"""Fills a SQLite store with copies of one endpoint that the API made: 10,000 calls take minutes.

Used by `bench/control_plane.py` while no control plane runs on the file.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from modelserving.v1.endpoint_pb2 import EndpointConfig

# Table, column that identifies the endpoint.
_TABLES = (
    ("endpoint", "id"),
    ("endpoint_config", "endpoint_id"),
    ("secret_reference", "endpoint_id"),
)


def copy_endpoint(database: Path, name: str, count: int) -> None:
    """Add `count` copies of the endpoint `name`, called `name-1` and so on.

    Its configuration is copied as well; where an entity or its model is called `name`, the copy's
    is called as the copy, so that no two are the same. It must not hold credentials in plaintext.
    """

    def renamed(config: bytes, new: str) -> bytes:
        copy = EndpointConfig.FromString(config)
        for entity in copy.served_entities:
            entity.name = entity.name.replace(name, new)
            entity.external_model.name = entity.external_model.name.replace(name, new)
        for route in copy.traffic_config.routes:
            route.served_entity_name = route.served_entity_name.replace(name, new)
            route.served_model_name = route.served_model_name.replace(name, new)
        return copy.SerializeToString()

    with closing(sqlite3.connect(database)) as connection, connection:
        connection.create_function("renamed", 2, renamed, deterministic=True)
        connection.execute("CREATE TEMP TABLE copies(id TEXT, name TEXT)")
        rows = ((f"{number:032x}", f"{name}-{number}") for number in range(1, count + 1))
        connection.executemany("INSERT INTO copies VALUES (?, ?)", rows)
        for table, key in _TABLES:
            _copy_rows(connection, table, key, name)


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
