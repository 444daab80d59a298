"""What queries used together: from totals of hours and days, and from rows where there are none.

Where margins tell it, which are totals by one dimension, they do. A time without totals, such as
the hour that has just begun, is added up query by query; so is all of it where tags are asked for,
which queries may have themselves.

Before: `usage.reader`. After: `margins`, `tables`, `filters`, `periods`. Beside: `totals`, which
makes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from sqlalchemy import ColumnElement, case, func, literal_column, union_all
from sqlmodel import String, and_, cast, col, literal, null, or_, select, true

from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.states import TotalState, UsageState
from modelplane.control_plane.store.usage.filters import UsageFilter, conditions, row_conditions
from modelplane.control_plane.store.usage.margins import (
    ALL,
    MARGINS,
    WORTH,
    Margin,
    MarginSource,
    margin_for,
)
from modelplane.control_plane.store.usage.periods import DAY_MS, HOUR_MS, Period, Range, cover
from modelplane.control_plane.store.usage.request_tags import own_value
from modelplane.control_plane.store.usage.tables import (
    UsageOriginRow,
    UsagePeriodRow,
    UsageRow,
    UsageTotalRow,
)

_FIRST_ERROR_STATUS = 400
_ORIGIN: Mapping[str, Any] = {
    "endpoint": col(UsageOriginRow.endpoint_name),
    "served_entity": col(UsageOriginRow.served_entity_name),
    "requester": col(UsageOriginRow.requester),
    "task": col(UsageOriginRow.task),
    "client": col(UsageOriginRow.client),
}
# All tags of an endpoint, as they are stored.
TAGS = "tags"
# Before the key of a query's own tag.
OWN_TAG = "own:"
# What queries can be grouped by, by name; and by tags besides.
DIMENSIONS = (*_ORIGIN, "status_code", "guardrail_action", "day", "hour")

Sums = dict[str, float | None]
_Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """A table that can be summed up.

    Attributes:
        row: Its rows.
        time_ms: When their queries came; of totals, when their period began.
        requests: How many queries a row stands for.
        count: The sum of that.
    """

    row: type[UsageRow] | type[UsageTotalRow]
    time_ms: Any
    requests: Any
    count: ColumnElement[int]

    def group(self, name: str) -> Any:  # noqa: ANN401 - of any type
        """Return the column by which a dimension groups."""
        columns = {
            **_ORIGIN,
            TAGS: col(UsageOriginRow.tags_json),
            "status_code": col(self.row.status_code),
            "guardrail_action": col(self.row.guardrail_action),
            "day": self.time_ms // DAY_MS * DAY_MS,
            "hour": self.time_ms // HOUR_MS * HOUR_MS,
        }
        return columns[name]

    def sums(self) -> dict[str, ColumnElement[Any]]:
        """Return what is added up, by name."""
        row = self.row
        failed = col(row.status_code) >= _FIRST_ERROR_STATUS
        unknown = col(row.state) == UsageState.UNKNOWN
        return {
            "requests": self.count,
            "failed_requests": func.sum(case((failed, self.requests), else_=0)),
            "unknown_requests": func.sum(case((unknown, self.requests), else_=0)),
            "input_token_count": func.sum(col(row.input_tokens)),
            "output_token_count": func.sum(col(row.output_tokens)),
            "cached_token_count": func.sum(col(row.cached_tokens)),
            "reasoning_token_count": func.sum(col(row.reasoning_tokens)),
            "input_character_count": func.sum(col(row.input_characters)),
            "output_character_count": func.sum(col(row.output_characters)),
            "latency_ms": func.sum(col(row.latency_ms)),
        }


_ROWS = _Source(UsageRow, col(UsageRow.time_ms), 1, func.count())
_REQUESTS = col(UsageTotalRow.requests)
_TOTALS = _Source(UsageTotalRow, col(UsageTotalRow.start_ms), _REQUESTS, func.sum(_REQUESTS))


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked for: see `sum_queries`."""

    selected: UsageFilter
    dimensions: Sequence[str]
    limit: int
    is_postgresql: bool

    @property
    def whole(self) -> Range:
        """The time that is asked for."""
        start_ms, end_ms = self.selected.start_ms, self.selected.end_ms
        return -inf if start_ms is None else start_ms, inf if end_ms is None else end_ms

    @property
    def is_of_queries(self) -> bool:
        """Whether it asks for what only queries tell, and totals do not."""
        return self.selected.is_of_queries or any(
            name.startswith(OWN_TAG) for name in self.dimensions
        )

    @property
    def needs_origins(self) -> bool:
        """Whether it asks for what queries have in common."""
        return self.is_of_queries or not {*_ORIGIN, TAGS}.isdisjoint(self.dimensions)


async def sum_queries(
    session: Session,
    selected: UsageFilter,
    dimensions: Sequence[str],
    limit: int,
    *,
    is_postgresql: bool,
) -> list[tuple[_Values, Sums]]:
    """Return up to `limit` groups: the values of the dimensions, and the sums.

    A dimension that begins with `OWN_TAG` is a tag of the queries themselves.
    """
    question = _Question(selected, dimensions, limit, is_postgresql)
    groups: dict[_Values, Sums] = {}
    rest: Sequence[Range] = [question.whole]
    if dimension := margin_for(selected, dimensions):
        margin = MarginSource(dimension)
        where = margin.conditions(selected)
        rest = await _add_periods(session, groups, question, margin, rest, margin.is_known, where)
    if not question.is_of_queries:
        known = col(UsagePeriodRow.state) == TotalState.TOTALS
        where = await conditions(session, selected, UsageTotalRow)
        rest = await _add_periods(session, groups, question, _TOTALS, rest, known, where)
    if rest:
        timeless = replace(selected, start_ms=None, end_ms=None)
        where = row_conditions(timeless, is_postgresql=is_postgresql)
        where += await conditions(session, selected, UsageRow)
        await _add(session, groups, question, _ROWS, [_within(_ROWS, rest), *where])
    return sorted(groups.items(), key=lambda item: _order(item[0]))[:limit]


async def sum_margins(session: Session, period: Period, *, of_totals: bool) -> dict[str, Margin]:
    """Return the margins of a period that are worth it, by dimension.

    Args:
        session: Reads.
        period: The hour or the day.
        of_totals: Whether it has totals, which are fewer than its queries.
    """
    source = _TOTALS if of_totals else _ROWS
    if of_totals:
        of_period = [
            col(UsageTotalRow.length_ms) == period.length_ms,
            col(UsageTotalRow.start_ms) == period.start_ms,
        ]
    else:
        of_period = _bounds(source.time_ms, period.start_ms, period.end_ms)
    sums = source.sums()
    connection = await session.connection()
    found = await connection.execute(
        # Of one form whatever the period, so that it is compiled once.
        union_all(*(_of_dimension(source, name, sums, of_period) for name in MARGINS))
    )
    margins: dict[str, list[tuple[str | None, Sums]]] = {name: [] for name in MARGINS}
    for dimension, value, *numbers in found:
        margins[dimension].append((value, dict(zip(sums, numbers, strict=True))))
    requests = sum(int(found["requests"] or 0) for _, found in margins[ALL])
    return {name: found for name, found in margins.items() if len(found) * WORTH <= requests}


def _of_dimension(
    source: _Source,
    name: str,
    sums: Mapping[str, ColumnElement[Any]],
    where: Sequence[ColumnElement[bool]],
) -> Any:  # noqa: ANN401 - a statement of many columns
    group = null() if name == ALL else source.group(name)
    query: Any = select(*[literal(name), cast(group, String), *sums.values()])
    query = query.select_from(source.row).where(*where)
    if name in _ORIGIN:
        query = query.join(UsageOriginRow, col(UsageOriginRow.id) == col(source.row.origin_id))
    return query.group_by(literal_column("2"))


async def _add_periods(
    session: Session,
    groups: dict[_Values, Sums],
    question: _Question,
    source: _Source | MarginSource,
    rest: Sequence[Range],
    known: ColumnElement[bool],
    where: Sequence[ColumnElement[bool]],
) -> Sequence[Range]:
    """Add what the sums of `known` periods tell of `rest` to `groups`; return what they do not."""
    period = UsagePeriodRow
    start_ms, end_ms = question.whole
    found = select(period.length_ms, period.start_ms).where(
        known, *_bounds(col(period.start_ms), start_ms, end_ms)
    )
    hours: list[int] = []
    days: list[int] = []
    for length_ms, begin_ms in (await session.exec(found)).all():
        (days if length_ms == DAY_MS else hours).append(begin_ms)
    if "hour" in question.dimensions:
        days = []
    parts = cover(rest, hours, days)
    row: Any = source.row
    for length_ms, ranges in ((DAY_MS, parts.days), (HOUR_MS, parts.hours)):
        if ranges:
            of_length = col(row.length_ms) == length_ms
            within = _within(source, ranges)
            await _add(session, groups, question, source, [of_length, within, *where])
    return parts.rest


async def _add(
    session: Session,
    groups: dict[_Values, Sums],
    question: _Question,
    source: _Source | MarginSource,
    where: Sequence[ColumnElement[bool]],
) -> None:
    """Add what one table tells to `groups`."""
    columns = [
        own_value(name.removeprefix(OWN_TAG), is_postgresql=question.is_postgresql)
        if name.startswith(OWN_TAG)
        else source.group(name)
        for name in question.dimensions
    ]
    query = (
        # The overloads end at four columns.
        select(*columns, *source.sums().values())
        .select_from(source.row)
        .where(*where)
        .group_by(*columns)
        .order_by(*columns)
        .limit(question.limit)
    )
    if isinstance(source, _Source) and question.needs_origins:
        query = query.join(UsageOriginRow, col(UsageOriginRow.id) == col(source.row.origin_id))
    names = tuple(source.sums())
    for row in (await session.exec(query)).all():
        values = tuple(row)
        sums = groups.setdefault(values[: len(columns)], dict.fromkeys(names))
        for name, value in zip(names, values[len(columns) :], strict=True):
            if value is not None:
                number = float(value) if name == "latency_ms" else int(value)
                sums[name] = (sums[name] or 0) + number


def _within(source: _Source | MarginSource, ranges: Sequence[Range]) -> ColumnElement[bool]:
    """Return the condition that a row is of one of these times."""
    return or_(*(and_(true(), *_bounds(source.time_ms, *each)) for each in ranges))


def _bounds(time_ms: Any, start_ms: float, end_ms: float) -> list[ColumnElement[bool]]:  # noqa: ANN401 - of a table
    """Return the conditions that a time is in a range."""
    bounds = []
    if start_ms != -inf:
        bounds.append(time_ms >= start_ms)
    if end_ms != inf:
        bounds.append(time_ms < end_ms)
    return bounds


def _order(values: _Values) -> list[tuple[bool, Any]]:
    """Return what orders groups: those that have no value first."""
    return [(value is not None, "" if value is None else value) for value in values]
