"""Totals of several hours or days together, by which long times and the day that goes on are read.

A report by what no margin tells reads a total for each kind of query and period: of a month twenty
times as many as of two spans and the days beside them. Nothing is noted when queries come: a span
holds as long as the changes of its hours add up to what they did when it was made, which whoever
reads it compares (`UsagePeriodRow.changes`). Origins are made anew each day, so that a total of a
span has one of those that are alike in all that can be asked for.

Before: `sums` (reads them), `usage.spans` (makes them). After: `totals`, `sources`, `periods`.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, CursorResult
from sqlmodel import and_, col, delete, or_, select, update

from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.states import TotalState
from modelplane.control_plane.store.upsert import insert as insert_or
from modelplane.control_plane.store.usage.periods import (
    DAY_MS,
    HOUR_MS,
    PARTS_OF_DAYS,
    SPANS,
    Period,
    Range,
    cover,
)
from modelplane.control_plane.store.usage.sources import ROWS, TOTALS, bounds
from modelplane.control_plane.store.usage.tables import (
    UsageOriginRow,
    UsagePeriodRow,
    UsageSpanRow,
    UsageTotalRow,
)
from modelplane.control_plane.store.usage.totals import (
    REQUESTS,
    TotalValues,
    put_totals,
    sum_where,
    total_of,
)

# A span of more totals is not made: they are held in memory meanwhile.
_MOST = 200_000
_BATCH = 500
# Totals after which others have their turn.
_TURN = 500
# Never what the changes of hours add up to.
_NONE = -1
# What can be asked of an origin; not its tags, which totals do not tell, nor its day.
_ALIKE = (
    "endpoint_name",
    "served_entity_id",
    "served_entity_name",
    "task",
    "requester",
    "client",
    "provider",
    "model",
)


@dataclass(frozen=True, slots=True)
class Marks:
    """The periods of a time.

    Attributes:
        known: The starts of those hours and days that totals tell of, by length.
        changes: The changes of hours, by their start.
        spans: What the changes of spans' hours were when they were made.
        kept: The spans that have totals.
    """

    known: Mapping[int, Collection[int]]
    changes: Mapping[int, int]
    spans: Mapping[Period, int]
    kept: Collection[Period]

    def changes_of(self, span: Period) -> int | None:
        """Return what the changes of its hours add up to; None: not all of them are marked."""
        total = 0
        for hour in range(span.start_ms, span.end_ms, HOUR_MS):
            changes = self.changes.get(hour)
            if changes is None:
                return None
            total += changes
        return total

    def starts(self) -> dict[int, Collection[int]]:
        """Return the starts of all periods that totals tell of now, by length."""
        found: dict[int, Collection[int]] = dict(self.known)
        for length in SPANS:
            starts = [
                span.start_ms
                for span in self.kept
                if span.length_ms == length and self.changes_of(span) == self.spans[span]
            ]
            if starts:
                found[length] = starts
        return found


async def read_marks(
    session: Session, known: ColumnElement[bool], whole: Range, *, with_spans: bool
) -> Marks:
    """Return the periods that begin in a time; `known`: of which totals tell."""
    period, span = UsagePeriodRow, UsageSpanRow
    within = bounds(col(period.start_ms), *whole)
    columns: Any = select(period.length_ms, period.start_ms, period.changes, known.label("known"))
    changes: dict[int, int] = {}
    found: dict[int, list[int]] = {HOUR_MS: [], DAY_MS: []}
    for length_ms, start_ms, changed, is_known in (
        await session.exec(columns.where(*within))
    ).all():
        if length_ms == HOUR_MS:
            changes[start_ms] = changed
        if is_known:
            found[length_ms].append(start_ms)
    if not with_spans:
        return Marks(found, changes, {}, ())
    rows = (await session.exec(select(span).where(*bounds(col(span.start_ms), *whole)))).all()
    spans = {Period(row.length_ms, row.start_ms): row.changes for row in rows}
    kept = [Period(row.length_ms, row.start_ms) for row in rows if row.has_totals]
    return Marks(found, changes, spans, kept)


def is_known() -> ColumnElement[bool]:
    """Return the condition that an hour or a day has totals, as its queries are now."""
    return col(UsagePeriodRow.state) == TotalState.TOTALS


def within_any(
    source: Any,  # noqa: ANN401 - a table with periods
    parts: Mapping[int, Sequence[Range]],
) -> ColumnElement[bool]:
    """Return the condition that a row of totals is of one of these ranges, by length."""
    length, time_ms = col(source.row.length_ms), source.time_ms
    return or_(
        *(
            and_(length == length_ms, *bounds(time_ms, *each))
            for length_ms, ranges in parts.items()
            for each in ranges
        )
    )


async def sum_span(
    session: Session, span: Period, marks: Marks, *, is_postgresql: bool
) -> list[TotalValues] | None:
    """Return the totals of a span, of what is shorter; None: it is not worth it."""
    whole = (span.start_ms, span.end_ms)
    known = {length: found for length, found in marks.starts().items() if length < span.length_ms}
    parts = cover([whole], known)
    found: list[TotalValues] = []
    if parts.parts:
        where = [within_any(TOTALS, parts.parts)]
        found += await sum_where(
            session, TOTALS, where, is_postgresql=is_postgresql, limit=_MOST + 1
        )
    if parts.rest:
        where = [or_(*(and_(*bounds(ROWS.time_ms, *each)) for each in parts.rest))]
        found += await sum_where(session, ROWS, where, is_postgresql=is_postgresql, limit=_MOST + 1)
    if len(found) > _MOST:
        return None
    ids = {values[0] for values in found}
    return await _merge(found, await _representatives(session, ids))


async def _representatives(session: Session, ids: Collection[bytes]) -> dict[bytes, bytes]:
    """Return, of each origin, one that is alike in all that can be asked for."""
    columns: Any = select(*(getattr(UsageOriginRow, name) for name in ("id", *_ALIKE)))
    ordered = sorted(ids)
    first: dict[Any, bytes] = {}
    found = {}
    for start in range(0, len(ordered), _BATCH):
        part = ordered[start : start + _BATCH]
        rows = await session.exec(columns.where(col(UsageOriginRow.id).in_(part)))
        for origin, *alike in rows.all():
            found[origin] = first.setdefault(tuple(alike), origin)
    return found


async def _merge(
    found: Sequence[TotalValues], representatives: Mapping[bytes, bytes]
) -> list[TotalValues]:
    """Return totals in which those that are alike are one."""
    alike: dict[tuple[Any, ...], list[TotalValues]] = {}
    for values in found:
        key = (representatives.get(values[0], values[0]), *values[1:REQUESTS])
        alike.setdefault(key, []).append(values)
    merged = []
    for place, (key, several) in enumerate(alike.items()):
        if place % _TURN == 0:
            await asyncio.sleep(0)
        *sums, latencies = zip(*(values[REQUESTS:] for values in several), strict=True)
        told = [text for text in latencies if text is not None]
        untold = len(latencies) - len(told)
        merged.append(
            await total_of((*key, *map(_sum, sums), " ".join(filter(None, told)), untold))
        )
    return merged


def _sum(values: Sequence[Any]) -> Any:  # noqa: ANN401 - of any number
    told = [value for value in values if value is not None]
    return sum(told) if told else None


async def store_span(
    transaction: Transaction,
    span: Period,
    marks: Marks,
    changes: int,
    totals: Sequence[TotalValues] | None,
) -> None:
    """Store the totals of a span in the place of those before, unless another replica did.

    What came since `marks`, which have these changes of it, were read is noted by its hours, so
    that it is not lost.
    """
    row, total = UsageSpanRow, UsageTotalRow
    at = (col(row.length_ms) == span.length_ms, col(row.start_ms) == span.start_ms)
    new = insert_or(transaction.session, row).on_conflict_do_nothing()
    first = {**span._asdict(), "changes": _NONE, "has_totals": False}
    await transaction.session.exec(new, params=[first])
    claimed = await transaction.session.exec(
        update(row)
        .where(*at, col(row.changes) == marks.spans.get(span, _NONE))
        .values(changes=changes, has_totals=totals is not None)
    )
    if not isinstance(claimed, CursorResult) or claimed.rowcount != 1:
        return
    former = (col(total.length_ms) == span.length_ms, col(total.start_ms) == span.start_ms)
    await transaction.session.exec(delete(total).where(*former))
    await put_totals(transaction, span, totals or ())


async def delete_parts_of_days(transaction: Transaction, time_ms: int) -> None:
    """Delete the spans within days that begin before a time: days tell of them."""
    for table in (UsageSpanRow, UsageTotalRow):
        old = (col(table.length_ms).in_(PARTS_OF_DAYS), col(table.start_ms) < time_ms)
        await transaction.session.exec(delete(table).where(*old))
