"""What queries used together: from totals of hours and days, and from rows where there are none.

Where margins tell it, which are totals by one dimension, they do. A time without totals, such as
the hour that has just begun, is added up query by query; so is all of it where minutes or tags are
asked for, which queries may have themselves.

Before: `usage.reader`. After: `sources`, `margins`, `groups`, `filters`, `periods`, `prices`.
Beside: `totals`, which makes them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import and_, col, or_, select, true

from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.states import TotalState
from modelplane.control_plane.store.usage.filters import UsageFilter, conditions, row_conditions
from modelplane.control_plane.store.usage.groups import COUNTS, Group, TooManyGroups
from modelplane.control_plane.store.usage.latencies import add_text, chunks
from modelplane.control_plane.store.usage.margins import MarginSource, margin_for
from modelplane.control_plane.store.usage.periods import DAY_MS, HOUR_MS, Range, cover
from modelplane.control_plane.store.usage.prices import PriceList
from modelplane.control_plane.store.usage.sources import (
    OF_QUERIES,
    ORIGIN,
    OWN_TAG,
    ROWS,
    TAGS,
    TOTALS,
    Keys,
    TableSource,
    bounds,
)
from modelplane.control_plane.store.usage.tables import UsagePeriodRow

# What queries can be grouped by, by name; and by tags besides.
DIMENSIONS = (*ORIGIN, "status_code", "guardrail_action", "day", "hour", "minute")
# With prices, a group is read in as many parts as it has prices: so many on average.
_PARTS = 4
# Characters of latencies after which others have their turn.
_LONG = 10_000

_Values = tuple[Any, ...]
_Source = TableSource | MarginSource


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked for: see `sum_queries`."""

    selected: UsageFilter
    dimensions: Sequence[str]
    limit: int
    is_postgresql: bool
    prices: PriceList
    percentiles: bool

    @property
    def whole(self) -> Range:
        """The time that is asked for."""
        start_ms, end_ms = self.selected.start_ms, self.selected.end_ms
        return -inf if start_ms is None else start_ms, inf if end_ms is None else end_ms

    @property
    def is_of_queries(self) -> bool:
        """Whether it asks for what only queries tell, and totals do not."""
        return self.selected.is_of_queries or any(
            name in OF_QUERIES or name.startswith(OWN_TAG) for name in self.dimensions
        )

    @property
    def needs_origins(self) -> bool:
        """Whether it asks for what queries have in common."""
        return (
            self.is_of_queries
            or bool(self.prices.prices)
            or not {*ORIGIN, TAGS}.isdisjoint(self.dimensions)
        )

    @property
    def keys(self) -> Keys:
        """What the statements group by."""
        return Keys(
            self.dimensions,
            with_prices=bool(self.prices.prices),
            with_origins=self.needs_origins,
            with_latencies=self.percentiles,
            is_postgresql=self.is_postgresql,
        )

    @property
    def most_parts(self) -> int:
        """How many rows a statement may tell."""
        return self.limit * _PARTS if self.prices.prices else self.limit


async def sum_queries(
    session: Session,
    selected: UsageFilter,
    dimensions: Sequence[str],
    prices: PriceList,
    limit: int,
    *,
    is_postgresql: bool,
    percentiles: bool = False,
) -> list[tuple[_Values, Group]]:
    """Return all groups: the values of the dimensions, and what their queries used.

    Args:
        session: Reads.
        selected: Which queries.
        dimensions: Names; one that begins with `OWN_TAG` is a tag of the queries themselves.
        prices: All prices, as they are stored.
        limit: Most groups.
        is_postgresql: Whether the database is PostgreSQL.
        percentiles: Whether the groups are to know their latencies.

    Raises:
        TooManyGroups: There are more than `limit`.
    """
    question = _Question(selected, dimensions, limit, is_postgresql, prices, percentiles)
    groups: dict[_Values, Group] = {}
    rest: Sequence[Range] = [question.whole]
    if dimension := margin_for(selected, dimensions):
        margin = MarginSource(dimension)
        where = margin.conditions(selected)
        rest = await _add_periods(session, groups, question, margin, rest, margin.is_known, where)
    if not question.is_of_queries:
        known = col(UsagePeriodRow.state) == TotalState.TOTALS
        where = await conditions(session, selected, TOTALS.row)
        rest = await _add_periods(session, groups, question, TOTALS, rest, known, where)
    if rest:
        timeless = replace(selected, start_ms=None, end_ms=None)
        where = row_conditions(timeless, is_postgresql=is_postgresql)
        where += await conditions(session, selected, ROWS.row)
        await _add(session, groups, question, ROWS, [_within(ROWS, rest), *where])
    if len(groups) > limit:
        raise TooManyGroups
    return sorted(groups.items(), key=lambda item: _order(item[0]))


async def _add_periods(
    session: Session,
    groups: dict[_Values, Group],
    question: _Question,
    source: _Source,
    rest: Sequence[Range],
    known: ColumnElement[bool],
    where: Sequence[ColumnElement[bool]],
) -> Sequence[Range]:
    """Add what the sums of `known` periods tell of `rest` to `groups`; return what they do not."""
    period = UsagePeriodRow
    start_ms, end_ms = question.whole
    found = select(period.length_ms, period.start_ms).where(
        known, *bounds(col(period.start_ms), start_ms, end_ms)
    )
    # What a day cost is told by its hours where a price changes in it.
    broken = question.prices.broken_days
    hours: list[int] = []
    days: list[int] = []
    for length_ms, begin_ms in (await session.exec(found)).all():
        if length_ms != DAY_MS:
            hours.append(begin_ms)
        elif begin_ms not in broken:
            days.append(begin_ms)
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
    groups: dict[_Values, Group],
    question: _Question,
    source: _Source,
    where: Sequence[ColumnElement[bool]],
) -> None:
    """Add what one table tells to `groups`.

    Raises:
        TooManyGroups: It tells more than can be read.
    """
    query = source.query(question.keys, where).limit(question.most_parts + 1)
    rows = (await session.exec(query)).all()
    if len(rows) > question.most_parts:
        raise TooManyGroups
    width = len(question.dimensions)
    for row in rows:
        values = tuple(row)
        *counts, latencies, untold = values[-len(COUNTS) - 2 :]
        sums = dict(zip(COUNTS, counts, strict=True))
        if not sums["requests"]:
            # Without dimensions a statement tells of nothing, too.
            continue
        group = groups.setdefault(values[:width], Group())
        group.add_sums(sums)
        group.has_all_latencies &= not untold
        price = values[width] if question.prices.prices else None
        _add_cost(group, question.prices, price, sums)
        for text in chunks(latencies or ""):
            add_text(group.latencies, text)
            if len(text) > _LONG:
                await asyncio.sleep(0)


def _add_cost(group: Group, prices: PriceList, price: int | None, sums: Mapping[str, Any]) -> None:
    if price is None:
        group.unpriced += int(sums["requests"] or 0)
        return
    tokens = (sums[f"{kind}_token_count"] for kind in ("input", "cached", "output"))
    group.add_cost(prices.prices[price].cost(*(int(number or 0) for number in tokens)))


def _within(source: _Source, ranges: Sequence[Range]) -> ColumnElement[bool]:
    """Return the condition that a row is of one of these times."""
    return or_(*(and_(true(), *bounds(source.time_ms, *each)) for each in ranges))


def _order(values: _Values) -> list[tuple[bool, Any]]:
    """Return what orders groups: those that have no value first."""
    return [(value is not None, "" if value is None else value) for value in values]
