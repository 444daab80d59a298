"""Tags of queries: what a query's own `usage_context` says, else its endpoint's tag of that name.

Before: `queries`. After: `tags`, which has those of endpoints. The column is searched where it is
JSON: nearly all queries have none.
"""

from typing import Any

from sqlalchemy import JSON, ColumnElement, Text, and_, cast, func, or_
from sqlmodel import col

from modelplane.control_plane.store.usage.tables import UsageOriginRow, UsageRow
from modelplane.control_plane.store.usage.tags import find_texts

# In a path of SQLite's they would end the key, or be read as escapes.
UNREADABLE = frozenset('"\\')


def own_value(key: str, *, is_postgresql: bool) -> ColumnElement[Any]:
    """Return what a query's own tag says; NULL where it has none of that key."""
    context: Any = col(UsageRow.usage_context_json)
    if is_postgresql:
        return func.json_extract_path_text(cast(context, JSON), cast(key, Text))
    return func.json_extract(context, f'$."{key}"')


def has_tag(key: str, value: str | None, *, is_postgresql: bool) -> ColumnElement[bool]:
    """Return the condition that a query, joined with its origin, has a tag; None: of any value."""
    own = own_value(key, is_postgresql=is_postgresql)
    find = func.strpos if is_postgresql else func.instr
    tags = col(UsageOriginRow.tags_json)
    of_endpoint = or_(*(find(tags, text) > 0 for text in find_texts(key, value)))
    if value is None:
        return or_(own.is_not(None), of_endpoint)
    return or_(own == value, and_(own.is_(None), of_endpoint))
