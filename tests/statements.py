"""Compiles each SQL statement once for all databases of a run, as a control plane does for its one.

To compile the same statements for each test's own database took a quarter of the time of these
tests.
"""

from typing import Any

from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import LRUCache

from modelplane.control_plane.store import engine

_COMPILED: LRUCache[Any, Any] = LRUCache(5_000)


def _create(*arguments: Any, **options: Any) -> AsyncEngine:
    made = create_async_engine(*arguments, **options)
    made.sync_engine._compiled_cache = _COMPILED
    return made


def _is_same(one: Any, other: object) -> bool:
    return type(one) is type(other) and vars(one).get("server_version_info") == vars(other).get(
        "server_version_info"
    )


def _hash(one: object) -> int:
    return hash(type(one))


# What is compiled is kept by dialect, of which each engine has one of its own.
for _dialect in (PGDialect_asyncpg, SQLiteDialect_aiosqlite):
    setattr(_dialect, "__eq__", _is_same)  # noqa: B010 - a method
    setattr(_dialect, "__hash__", _hash)  # noqa: B010 - a method
setattr(engine, "create_async_engine", _create)  # noqa: B010 - imported there
