"""What queries used together: from totals of hours and days, and from rows where there are none.

Where margins tell it, which are totals by one dimension, they do, and else totals of the longest
periods that there are. A time without totals, such as
the hour that has just begun, is added up query by query; so is all of it where minutes or tags are
asked for, which queries may have themselves.

Before: `usage.reader`. After: `sources`, `margins`, `spans`, `groups`, `filters`, `periods`,
`prices`. Beside: `totals`, which makes them.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import inf
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import and_, or_, true

from modelplane.control_plane.store.database import Session
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
from modelplane.control_plane.store.usage.spans import is_known, read_marks, within_any

# What queries can be grouped by, by name; and by tags besides.
DIMENSIONS = (*ORIGIN, "status_code", "guardrail_action", "day", "hour", "minute")
# With prices, a group is read in as many parts as it has prices: so many on average.
_PARTS = 4
# Characters of latencies after which others have their turn.
_LONG = 10_000

_REQUESTS = COUNTS.index("requests")
# In the order in which `Price.cost` takes them.
_PRICED = tuple(COUNTS.index(f"{kind}_token_count") for kind in ("input", "cached", "output"))

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
    def longest(self) -> float:
        """Length of the longest period of which totals tell what is asked for."""
        return HOUR_MS if "hour" in self.dimensions else DAY_MS if "day" in self.dimensions else inf

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
        where = await conditions(session, selected, TOTALS.row)
        rest = await _add_periods(session, groups, question, TOTALS, rest, is_known(), where)
    if rest:
        timeless = replace(selected, start_ms=None, end_ms=None)
        where = row_conditions(timeless, is_postgresql=is_postgresql)
        where += await conditions(session, selected, ROWS.row)
        within = or_(*(and_(true(), *bounds(ROWS.time_ms, *each)) for each in rest))
        await _add(session, groups, question, ROWS, [within, *where])
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
    marks = await read_marks(session, known, question.whole, with_spans=source is TOTALS)
    changes = sorted(question.prices.changes_ms)
    told = {
        length: [start for start in starts if not _changes_within(changes, start, length)]
        for length, starts in marks.starts().items()
        if length <= question.longest
    }
    found = cover(rest, told)
    if found.parts:
        await _add(session, groups, question, source, [within_any(source, found.parts), *where])
    return found.rest


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
    width, first = len(question.dimensions), -len(COUNTS) - 2
    for row in rows:
        counts: Sequence[Any] = row[first:-2]
        if not counts[_REQUESTS]:
            # Without dimensions a statement tells of nothing, too.
            continue
        if question.is_postgresql:
            counts = [int(one) if isinstance(one, Decimal) else one for one in counts]
        values = row[:width]
        if (group := groups.get(values)) is None:
            group = groups[values] = Group()
        group.add_counts(counts)
        if question.prices.prices:
            _add_cost(group, question.prices, row[width], counts)
        else:
            group.unpriced += counts[_REQUESTS]
        if question.percentiles:
            await _add_latencies(group, *row[-2:])


async def _add_latencies(group: Group, text: str | None, untold: int) -> None:
    group.has_all_latencies &= not untold
    for part in chunks(text or ""):
        add_text(group.latencies, part)
        if len(part) > _LONG:
            await asyncio.sleep(0)


def _add_cost(group: Group, prices: PriceList, price: int | None, counts: Sequence[Any]) -> None:
    if price is None:
        group.unpriced += counts[_REQUESTS]
        return
    tokens = (counts[place] or 0 for place in _PRICED)
    group.add_cost(prices.prices[price].cost(*tokens))


def _changes_within(changes_ms: Sequence[int], start_ms: int, length_ms: int) -> bool:
    """Tell whether a price changes in a period, so that shorter ones tell what it cost."""
    place = bisect_right(changes_ms, start_ms)
    return place < len(changes_ms) and changes_ms[place] < start_ms + length_ms


def _order(values: _Values) -> list[tuple[bool, Any]]:
    """Return what orders groups: those that have no value first."""
    return [(value is not None, "" if value is None else value) for value in values]
