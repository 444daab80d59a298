"""The attempts of a query, as the ledger has them: a column of JSON that a filter searches.

Used by `filters`. The column is read as JSON where there was more than one attempt: nearly all
queries have one, of which only the latency is stored.
"""

from sqlalchemy import ColumnElement, literal_column
from sqlmodel import and_, col

from modelplane.control_plane.store.usage.tables import UsageRow

_ENTITIES = {
    False: "(SELECT count(DISTINCT json_extract(attempt.value, '$.served_entity_name'))"
    " FROM json_each(usage_query.attempts_json) AS attempt)",
    True: "(SELECT count(DISTINCT attempt.value ->> 'served_entity_name')"
    " FROM json_array_elements(CAST(usage_query.attempts_json AS json)) AS attempt(value))",
}


def has_fallback(*, is_postgresql: bool) -> ColumnElement[bool]:
    """Return the condition that more than one served entity was asked for a query."""
    has_several = col(UsageRow.attempts_json).startswith("[{")
    entities: ColumnElement[int] = literal_column(_ENTITIES[is_postgresql])
    return and_(has_several, entities > 1)
