"""What queries used together: from totals of hours and days, and from rows where there are none.

A time without totals, such as the hour that has just begun, is added up query by query; so is all
of it where tags are asked for, which queries may have themselves.

Before: `usage.reader`. After: `tables`, `filters`, `periods`. Beside: `totals`, which makes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from sqlalchemy import ColumnElement, case, func
from sqlmodel import and_, col, or_, select, true

from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.states import TotalState, UsageState
from modelplane.control_plane.store.usage.filters import UsageFilter, conditions, row_conditions
from modelplane.control_plane.store.usage.periods import DAY_MS, HOUR_MS, Cover, Range, cover
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

    def group(self, name: str, *, is_postgresql: bool) -> Any:  # noqa: ANN401 - of any type
        """Return the column by which a dimension groups."""
        if name.startswith(OWN_TAG):
            return own_value(name.removeprefix(OWN_TAG), is_postgresql=is_postgresql)
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
    parts = await _cover(session, question)
    groups: dict[_Values, Sums] = {}
    for length_ms, ranges in ((DAY_MS, parts.days), (HOUR_MS, parts.hours)):
        if ranges:
            of_length = col(UsageTotalRow.length_ms) == length_ms
            await _add(session, groups, question, _TOTALS, [of_length, _within(_TOTALS, ranges)])
    if parts.rest:
        timeless = replace(selected, start_ms=None, end_ms=None)
        others = row_conditions(timeless, is_postgresql=is_postgresql)
        await _add(session, groups, question, _ROWS, [_within(_ROWS, parts.rest), *others])
    return sorted(groups.items(), key=lambda item: _order(item[0]))[:limit]


async def _cover(session: Session, question: _Question) -> Cover:
    selected = question.selected
    hours: list[int] = []
    days: list[int] = []
    if not question.is_of_queries:
        period = UsagePeriodRow
        known = select(period.length_ms, period.start_ms).where(
            col(period.state) == TotalState.TOTALS
        )
        for length_ms, start_ms in (await session.exec(known)).all():
            (days if length_ms == DAY_MS else hours).append(start_ms)
    if "hour" in question.dimensions:
        days = []
    return cover(selected.start_ms, selected.end_ms, hours, days)


async def _add(
    session: Session,
    groups: dict[_Values, Sums],
    question: _Question,
    source: _Source,
    where: Sequence[ColumnElement[bool]],
) -> None:
    """Add what one table tells to `groups`."""
    columns = [
        source.group(name, is_postgresql=question.is_postgresql) for name in question.dimensions
    ]
    query = (
        # The overloads end at four columns.
        select(*columns, *source.sums().values())
        .select_from(source.row)
        .where(*where, *await conditions(session, question.selected, source.row))
        .group_by(*columns)
        .order_by(*columns)
        .limit(question.limit)
    )
    if question.needs_origins:
        query = query.join(UsageOriginRow, col(UsageOriginRow.id) == col(source.row.origin_id))
    names = tuple(source.sums())
    for row in (await session.exec(query)).all():
        values = tuple(row)
        sums = groups.setdefault(values[: len(columns)], dict.fromkeys(names))
        for name, value in zip(names, values[len(columns) :], strict=True):
            if value is not None:
                number = float(value) if name == "latency_ms" else int(value)
                sums[name] = (sums[name] or 0) + number


def _within(source: _Source, ranges: Sequence[Range]) -> ColumnElement[bool]:
    """Return the condition that a row is of one of these times."""
    either = []
    for start_ms, end_ms in ranges:
        both = [true()]
        if start_ms != -inf:
            both.append(source.time_ms >= start_ms)
        if end_ms != inf:
            both.append(source.time_ms < end_ms)
        either.append(and_(*both))
    return or_(*either)


def _order(values: _Values) -> list[tuple[bool, Any]]:
    """Return what orders groups: those that have no value first."""
    return [(value is not None, "" if value is None else value) for value in values]
