"""Statements on the totals of hours and days: how they are made, and how they are kept true.

A period is marked first. From then on, each batch that has queries of it says so in its mark, and
what was summed up is stored only if none has since it was begun: so totals are exact, whatever
comes late and to whichever replica. Where there are no totals, `sums` reads the queries.

Before: `usage.totals` (makes them), `ledger` (tells of new queries). After: `sources`, `tables`,
`periods`.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, CursorResult, Dialect, bindparam, func, literal_column, text
from sqlmodel import col, delete, insert, or_, select, update

from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.states import TotalState
from modelplane.control_plane.store.upsert import insert as insert_or
from modelplane.control_plane.store.usage.margin_sums import compact
from modelplane.control_plane.store.usage.margins import WORTH, are_known
from modelplane.control_plane.store.usage.periods import DAY_MS, HOUR_MS, Period
from modelplane.control_plane.store.usage.sources import ROWS, TOTALS, TableSource
from modelplane.control_plane.store.usage.tables import (
    UsageMarginRow,
    UsagePeriodRow,
    UsageRow,
    UsageSpanRow,
    UsageTotalRow,
)

# Of PostgreSQL's advisory locks: batches of queries share it, and whoever marks a period waits
# until those under way are committed.
_LOCK = 7_210_351
_SHARE = text(f"SELECT pg_advisory_xact_lock_shared({_LOCK})")
_OWN = text(f"SELECT pg_advisory_xact_lock({_LOCK})")
# What totals are by, beside the period, and what is summed up.
KEYS = ("origin_id", "endpoint_id", "state", "status_code", "guardrail_action")
_SUMS = (
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "input_characters",
    "output_characters",
    "latency_ms",
)
_COLUMNS = (*KEYS, "requests", *_SUMS, "latencies")
REQUESTS = len(KEYS)
# A text of latencies that is longer is told anew, each bucket once: it may be of 24 hours.
_LONG = 1_000
# The values of a total in the order of `_COLUMNS`.
TotalValues = tuple[Any, ...]


class Mark(NamedTuple):
    """What is known of a period: see `UsagePeriodRow`."""

    changes: int
    state: TotalState
    # Whether its margins are of these changes.
    has_margins: bool = False
    # Whether its totals have latencies.
    has_latencies: bool = False

    @property
    def is_made(self) -> bool:
        """Whether it has all that it may have."""
        told = self.has_latencies or self.state is not TotalState.TOTALS
        return self.state is not TotalState.CHANGED and self.has_margins and told


async def share_marks(transaction: Transaction) -> None:
    """Let nobody mark a period until this transaction, which stores queries, ends."""
    if _is_postgresql(transaction.session):
        await transaction.session.exec(_SHARE)  # type: ignore[call-overload]


async def note_changes(transaction: Transaction, times_ms: Collection[int]) -> None:
    """Let totals of these times be made anew."""
    # A day's first hour begins with it, and does not change with the day.
    periods = {
        Period(length, time_ms // length * length)
        for length in (HOUR_MS, DAY_MS)
        for time_ms in times_ms
    }
    if not periods:
        return
    connection = await transaction.session.connection()
    note, _ = _statements(connection.dialect)
    # In one order, so that two replicas wait for each other in turn.
    await connection.exec_driver_sql(note, sorted(periods))


async def read_marks(session: Session) -> dict[Period, Mark]:
    """Return what is known of each period that is marked."""
    rows = (await session.exec(select(UsagePeriodRow))).all()
    return {
        Period(row.length_ms, row.start_ms): Mark(
            row.changes,
            TotalState(row.state),
            are_known(row.margins_at, row.changes, row.margins),
            row.told_at == row.changes,
        )
        for row in rows
    }


async def read_oldest_ms(session: Session) -> int | None:
    """Return the time of the oldest query; None: there is none."""
    return (await session.exec(select(func.min(UsageRow.time_ms)))).one()


async def mark_periods(transaction: Transaction, periods: Collection[Period]) -> None:
    """Have changes of these periods noted from now on."""
    if _is_postgresql(transaction.session):
        await transaction.session.exec(_OWN)  # type: ignore[call-overload]
    rows = [
        UsagePeriodRow(**period._asdict(), state=TotalState.CHANGED).model_dump()
        for period in sorted(periods)
    ]
    new = insert_or(transaction.session, UsagePeriodRow).on_conflict_do_nothing()
    await transaction.session.exec(new, params=rows)


async def sum_period(
    session: Session, period: Period, *, of_hours: bool, is_postgresql: bool
) -> list[TotalValues]:
    """Return the totals of a period: of its queries, or of its hours, which all have theirs."""
    query = _of_period(of_hours=of_hours, is_postgresql=is_postgresql)
    values = {"start": period.start_ms, "end": period.end_ms}
    return [await total_of(tuple(row)) for row in (await session.exec(query, params=values)).all()]


async def sum_where(
    session: Session,
    source: TableSource,
    where: Sequence[ColumnElement[bool]],
    *,
    is_postgresql: bool,
    limit: int | None = None,
) -> list[TotalValues]:
    """Return the totals of what conditions select of a table; `limit`: so many at most."""
    query = _summed(source, where, is_postgresql=is_postgresql).limit(limit)
    return [await total_of(tuple(row)) for row in (await session.exec(query)).all()]


@lru_cache(maxsize=4)
def _of_period(*, of_hours: bool, is_postgresql: bool) -> Any:  # noqa: ANN401 - of many columns
    """Return the statement that sums up a period, built once for all of them."""
    source = TOTALS if of_hours else ROWS
    where = [source.time_ms >= bindparam("start"), source.time_ms < bindparam("end")]
    if of_hours:
        where.append(col(UsageTotalRow.length_ms) == HOUR_MS)
    return _summed(source, where, is_postgresql=is_postgresql)


def _summed(
    source: TableSource, where: Sequence[ColumnElement[bool]], *, is_postgresql: bool
) -> Any:  # noqa: ANN401 - of many columns
    row: Any = source.row

    def joined(query: Any) -> Any:  # noqa: ANN401 - a statement
        return query.select_from(row).where(*where)

    keys: list[Any] = [getattr(row, name) for name in KEYS]
    sums = {name: func.sum(getattr(row, name)) for name in _SUMS}
    query, _ = source.summed(
        keys, joined, is_postgresql=is_postgresql, sums={"requests": source.count, **sums}
    )
    return query


async def total_of(found: tuple[Any, ...]) -> TotalValues:
    """Return a total, of sums, of joined latencies, and of how many do not tell theirs."""
    *values, latency_ms, latencies, untold = found
    text = latencies or ""
    # PostgreSQL adds up to another type of number.
    return (
        *values[:REQUESTS],
        *(value if value is None else int(value) for value in values[REQUESTS:]),
        latency_ms,
        None if untold else await compact(text) if len(text) > _LONG else text,
    )


async def store_totals(
    transaction: Transaction, period: Period, changes: int, totals: Sequence[TotalValues]
) -> TotalState:
    """Store the totals of a period, if they are worth it; return what tells of it now.

    Nothing is stored if queries came since its mark had `changes`, or if another replica was
    faster.
    """
    requests = sum(values[REQUESTS] for values in totals)
    state = TotalState.TOTALS if len(totals) * WORTH <= requests else TotalState.QUERIES
    mark, total = UsagePeriodRow, UsageTotalRow
    claimed = await transaction.session.exec(
        update(mark)
        .where(
            col(mark.length_ms) == period.length_ms,
            col(mark.start_ms) == period.start_ms,
            col(mark.changes) == changes,
            or_(col(mark.state) == TotalState.CHANGED, col(mark.told_at) != changes),
        )
        .values(state=state, told_at=changes)
    )
    if not isinstance(claimed, CursorResult) or claimed.rowcount != 1:
        return TotalState.CHANGED
    former = (
        col(total.length_ms) == period.length_ms,
        col(total.start_ms) == period.start_ms,
    )
    await transaction.session.exec(delete(total).where(*former))
    if state is TotalState.TOTALS:
        await put_totals(transaction, period, totals)
    return state


async def put_totals(
    transaction: Transaction, period: Period, totals: Sequence[TotalValues]
) -> None:
    """Store totals of a period that has none."""
    if totals:
        connection = await transaction.session.connection()
        _, put_total = _statements(connection.dialect)
        await connection.exec_driver_sql(put_total, [(*period, *values) for values in totals])


async def delete_totals_before(transaction: Transaction, time_ms: int) -> None:
    """Delete the totals of periods that begin before a time: their queries go."""
    for table in (UsagePeriodRow, UsageSpanRow, UsageTotalRow, UsageMarginRow):
        await transaction.session.exec(delete(table).where(col(table.start_ms) < time_ms))


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


@lru_cache(maxsize=8)
def _statements(dialect: Dialect) -> tuple[str, str]:
    """Return the SQL that notes a change of a period, and that stores a total.

    Parameters are in order: anything else costs far more.
    """
    mark = UsagePeriodRow
    note = (
        update(mark)
        .where(col(mark.length_ms) == bindparam("of_length"), col(mark.start_ms) == bindparam("of"))
        .values(
            changes=col(mark.changes) + literal_column("1"),
            state=literal_column(f"'{TotalState.CHANGED}'"),
        )
    )
    columns: Iterable[str] = ("length_ms", "start_ms", *_COLUMNS)
    put = insert(UsageTotalRow).values({name: bindparam(name) for name in columns}).inline()
    return str(note.compile(dialect=dialect)), str(put.compile(dialect=dialect))
