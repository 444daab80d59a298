"""Statements on the usage ledger: what workers report, and what becomes of it.

Before: `usage.intake`. After: `tables`, `totals`. Beside: `queries`, which reads it.
"""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from modelserving.v1.endpoint_pb2 import EndpointConfig, ServedEntity
from sqlalchemy import ColumnClause, CursorResult, Dialect, bindparam, func, literal_column
from sqlmodel import col, delete, or_, select, tuple_, update

from modelplane.control_plane.store.database import Transaction
from modelplane.control_plane.store.states import UsageState
from modelplane.control_plane.store.tables import EndpointConfigRow, EndpointRow
from modelplane.control_plane.store.upsert import insert_for
from modelplane.control_plane.store.usage.periods import HOUR_MS
from modelplane.control_plane.store.usage.tables import UsageJournalRow, UsageOriginRow, UsageRow
from modelplane.control_plane.store.usage.tags import encode_tags
from modelplane.control_plane.store.usage.totals import note_changes, share_marks

# The values of a row in the order of the columns: anything else costs far more.
UsageValues: TypeAlias = tuple[object, ...]
# Provider and name of a model.
Model: TypeAlias = tuple[str, str]
# The provider of models that are hosted here.
HOSTED = "hosted"
# What an outcome says; the rest is known from the begin.
_OUTCOME = (
    "origin_id",
    "state",
    "status_code",
    "error",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "estimated",
    "output_characters",
    "latency_ms",
    "first_chunk_ms",
    "attempts_json",
    "guardrail_action",
    "guardrail_json",
)
_TIME_PLACE = list(UsageRow.model_fields).index("time_ms")
# Digits of a row's identifier that are the journal's.
_JOURNAL_DIGITS = 16


async def find_tags(transaction: Transaction, endpoint_ids: Collection[str]) -> dict[str, str]:
    """Return the column of tags for each endpoint that exists, by identifier."""
    query = select(EndpointRow.id, EndpointRow.settings).where(
        col(EndpointRow.id).in_(endpoint_ids)
    )
    # Through the connection, here as below: the session's own ways cost more than the statement.
    connection = await transaction.session.connection()
    return {row[0]: encode_tags(row[1]) for row in await connection.execute(query)}


async def find_models(
    transaction: Transaction, versions: Collection[tuple[str, int]]
) -> dict[tuple[str, int], Mapping[str, Model]]:
    """Return the models of the versions that there are, by the names of served entities.

    Args:
        transaction: Reads.
        versions: Identifiers of endpoints, and versions of their configuration.
    """
    row = EndpointConfigRow
    query = select(row.endpoint_id, row.version, row.config).where(
        tuple_(col(row.endpoint_id), col(row.version)).in_(versions)
    )
    connection = await transaction.session.connection()
    found: dict[tuple[str, int], Mapping[str, Model]] = {}
    for endpoint_id, version, content in await connection.execute(query):
        config = EndpointConfig.FromString(content)
        models = {entity.name: _model_of(entity) for entity in config.served_entities}
        found[endpoint_id, version] = models
    return found


def _model_of(entity: ServedEntity) -> Model:
    if entity.HasField("external_model"):
        return entity.external_model.provider, entity.external_model.name
    return HOSTED, entity.entity_name


async def put_rows(
    transaction: Transaction, origins: Collection[UsageValues], rows: Collection[UsageValues]
) -> None:
    """Store queries, each once, and what they have in common.

    An outcome completes a row that had none; nothing takes the place of an outcome but that of a
    query that was given up as unknown.

    Args:
        transaction: Writes.
        origins: Values of `UsageOriginRow`.
        rows: Values of `UsageRow`.
    """
    await share_marks(transaction)
    connection = await transaction.session.connection()
    put_origin, put_row, _ = _statements(connection.dialect)
    # In one order, so that two replicas with rows in common wait for each other in turn.
    await connection.exec_driver_sql(put_origin, sorted(origins, key=_key))
    await connection.exec_driver_sql(put_row, sorted(rows, key=_key))
    await note_changes(transaction, {_hour_of(values) for values in rows})


def _hour_of(values: UsageValues) -> int:
    time_ms = values[_TIME_PLACE]
    return int(time_ms) // HOUR_MS * HOUR_MS  # type: ignore[call-overload,no-any-return]


def _key(values: UsageValues) -> Any:  # noqa: ANN401 - bytes or text
    return values[0]


@lru_cache(maxsize=8)
def _statements(dialect: Dialect) -> tuple[str, str, str]:
    """Return the SQL that stores an origin, a query and a journal; parameters are in order."""
    put_origin, put_row, put_journal = (
        insert_for(dialect, table).values({name: bindparam(name) for name in table.model_fields})
        for table in (UsageOriginRow, UsageRow, UsageJournalRow)
    )
    new, state = put_row.excluded, col(UsageRow.state)
    running, ended, unknown = map(_literal, UsageState)
    statements = (
        put_origin.on_conflict_do_nothing(index_elements=["id"]),
        put_row.on_conflict_do_update(
            index_elements=["id"],
            set_={name: new[name] for name in _OUTCOME},
            where=(new.state != running)
            & or_(state == running, (state == unknown) & (new.state == ended)),
        ),
        put_journal.on_conflict_do_update(
            index_elements=["id"], set_={"seen_ms": put_journal.excluded.seen_ms}
        ),
    )
    first, second, third = (str(statement.compile(dialect=dialect)) for statement in statements)
    return first, second, third


def _literal(state: UsageState) -> "ColumnClause[str]":
    return literal_column(f"'{state.value}'")


async def note_journal(transaction: Transaction, journal_id: str, seen_ms: int) -> None:
    """Note a journal's sign of life."""
    connection = await transaction.session.connection()
    put_journal = _statements(connection.dialect)[2]
    await connection.exec_driver_sql(put_journal, (journal_id, seen_ms))


async def close_lost(transaction: Transaction, now_ms: int, lost_ms: int) -> int:
    """Close the running queries of journals without a sign of life; return how many.

    The journals are forgotten.

    Args:
        transaction: Writes.
        now_ms: Time.
        lost_ms: A journal that was last seen at another time than this close to it is lost; later
            ones were seen before the clock was set back.
    """
    seen_ms = col(UsageJournalRow.seen_ms)
    is_lost = (seen_ms < now_ms - lost_ms) | (seen_ms > now_ms + lost_ms)
    lost = select(UsageJournalRow.id).where(is_lost)
    journal_id = func.substr(col(UsageRow.id), 1, _JOURNAL_DIGITS)
    closed = await transaction.session.exec(
        update(UsageRow)
        .where(col(UsageRow.state) == UsageState.RUNNING, journal_id.in_(lost))
        .values(state=UsageState.UNKNOWN)
        .returning(col(UsageRow.time_ms))
    )
    times_ms = closed.scalars().all()
    await note_changes(transaction, {time_ms // HOUR_MS * HOUR_MS for time_ms in times_ms})
    await transaction.session.exec(delete(UsageJournalRow).where(is_lost))
    return len(times_ms)


async def delete_rows_before(transaction: Transaction, time_ms: int, limit: int) -> int:
    """Delete up to `limit` rows from before a time, the oldest first; return how many."""
    old = (
        select(UsageRow.id)
        .where(col(UsageRow.time_ms) < time_ms)
        .order_by(col(UsageRow.time_ms))
        .limit(limit)
    )
    found = await transaction.session.exec(delete(UsageRow).where(col(UsageRow.id).in_(old)))
    return _count(found)


async def delete_origins_before(transaction: Transaction, stored_ms: int) -> None:
    """Delete what only queries had in common that are deleted, from days before a time."""
    used = select(UsageRow.id).where(col(UsageRow.origin_id) == col(UsageOriginRow.id))
    gone = delete(UsageOriginRow).where(col(UsageOriginRow.stored_ms) < stored_ms, ~used.exists())
    await transaction.session.exec(gone)


def _count(result: "CursorResult[Any]") -> int:
    return int(result.rowcount)
