"""Totals of hours and days by one dimension: few rows, where the totals by all dimensions are many.

Each is of one model besides, so that it can have a price. A period has them of those dimensions of
which they are worth it, and as long as nothing has changed since (`UsagePeriodRow.margins_at`).

Before: `sums` (reads them), `margin_sums` (makes them), `usage.totals`. After: `tables`, `filters`,
`periods`, `latencies`, `prices`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, CursorResult, Dialect, Integer, bindparam, func, not_
from sqlmodel import and_, cast, col, delete, insert, or_, select, update

from modelplane.control_plane.store.database import Transaction
from modelplane.control_plane.store.usage import latencies
from modelplane.control_plane.store.usage.filters import UsageFilter
from modelplane.control_plane.store.usage.groups import COUNTS
from modelplane.control_plane.store.usage.periods import DAY_MS, HOUR_MS, Period
from modelplane.control_plane.store.usage.prices import holds
from modelplane.control_plane.store.usage.sources import NO_LATENCIES, Keys
from modelplane.control_plane.store.usage.tables import (
    UsageMarginRow,
    UsagePeriodRow,
    UsagePriceRow,
)

# The margin of no dimension: all queries of a period together.
ALL = "all"
# The dimensions that there may be margins of.
MARGINS = (
    ALL,
    "endpoint",
    "served_entity",
    "requester",
    "task",
    "client",
    "status_code",
    "guardrail_action",
)
# Margins, and totals, are kept of what has so many times as many queries.
WORTH = 2
_TIMES = {"day": DAY_MS, "hour": HOUR_MS}
# What all margins are by.
_MODEL = ("provider", "model")
# Those of an older release, which are not by model, do not have it: they are made again, and
# neither release takes the margins of the other for its own.
_FORM = "by model"
_COLUMNS = ("length_ms", "start_ms", "dimension", "value", *_MODEL, *COUNTS, "latencies")


class Margin(NamedTuple):
    """What the queries of one value and one model used together."""

    value: str | None
    provider: str
    model: str
    sums: Mapping[str, Any]
    latencies: str | None


def margin_for(selected: UsageFilter, dimensions: Sequence[str]) -> str | None:
    """Return the dimension whose margins tell what is asked for; None: none does."""
    asked = replace(selected, requester=None, client=None, start_ms=None, end_ms=None)
    # Margins know of nothing else, and of no filter that is new.
    if replace(asked, provider=None, model=None) != UsageFilter():
        return None
    names = {name for name in dimensions if name not in {*_TIMES, *_MODEL}}
    names |= {name for name in ("requester", "client") if getattr(selected, name) is not None}
    if len(names) > 1 or not names.issubset(MARGINS):
        return None
    return names.pop() if names else ALL


def are_known(margins_at: int, changes: int, margins: str) -> bool:
    """Tell whether a period has all its margins as its queries are now."""
    return margins_at == changes and margins.startswith(_named(_FORM))


def _named(name: str) -> str:
    return f",{name},"


@dataclass(frozen=True, slots=True)
class MarginSource:
    """The margins of one dimension, as `sums` adds up tables."""

    dimension: str
    row: type[UsageMarginRow] = UsageMarginRow

    @property
    def time_ms(self) -> Any:  # noqa: ANN401 - a column
        """When their period began."""
        return col(UsageMarginRow.start_ms)

    @property
    def is_known(self) -> ColumnElement[bool]:
        """The condition that a period has these margins, as its queries are now."""
        row = UsagePeriodRow
        margins = col(row.margins)
        named = margins.contains(_named(f"{self.dimension} {_FORM}"))
        return and_(col(row.margins_at) == col(row.changes), named)

    def query(self, keys: Keys, where: Sequence[ColumnElement[bool]]) -> Any:  # noqa: ANN401 - of many columns
        """Return the statement that tells of each group, as `TableSource.query` does."""
        row = UsageMarginRow
        of = [self._group(name) for name in keys.dimensions]
        if keys.with_prices:
            of.append(col(UsagePriceRow.id))
        sums = [func.sum(getattr(row, name)) for name in COUNTS]
        told: tuple[ColumnElement[Any], ...] = NO_LATENCIES
        if keys.with_latencies:
            texts = col(row.latencies)
            text = latencies.joined(texts, is_postgresql=keys.is_postgresql)
            told = text, func.count() - func.count(texts)
        columns: list[Any] = [*of, *sums, *told]
        query: Any = select(*columns).select_from(row)
        if keys.with_prices:
            price = holds(col(row.provider), col(row.model), self.time_ms)
            query = query.join(UsagePriceRow, price, isouter=True)
        return query.where(*where).group_by(*of).order_by(*of)

    def _group(self, name: str) -> Any:  # noqa: ANN401 - of any type
        """Return the column by which a dimension groups."""
        if name in _TIMES:
            return self.time_ms // _TIMES[name] * _TIMES[name]
        if name in _MODEL:
            return getattr(UsageMarginRow, name)
        value = col(UsageMarginRow.value)
        return cast(value, Integer) if name == "status_code" else value

    def conditions(self, selected: UsageFilter) -> list[ColumnElement[bool]]:
        """Return what a filter that `margin_for` accepts demands of a margin."""
        row = UsageMarginRow
        asked = [
            (col(row.value), selected.requester),
            (col(row.value), selected.client),
            (col(row.provider), selected.provider),
            (col(row.model), selected.model),
        ]
        values = [column == value for column, value in asked if value is not None]
        return [col(row.dimension) == self.dimension, *values]


async def store_margins(
    transaction: Transaction, period: Period, changes: int, margins: Mapping[str, Sequence[Margin]]
) -> bool:
    """Store the margins of a period in the place of what it had; return whether they hold.

    Nothing is stored if queries came since its mark had `changes`, or if another replica was
    faster.
    """
    mark, row = UsagePeriodRow, UsageMarginRow
    names = _named(",".join((_FORM, *(f"{name} {_FORM}" for name in margins))))
    claimed = await transaction.session.exec(
        update(mark)
        .where(
            col(mark.length_ms) == period.length_ms,
            col(mark.start_ms) == period.start_ms,
            col(mark.changes) == changes,
            or_(
                col(mark.margins_at) != changes,
                not_(col(mark.margins).startswith(_named(_FORM))),
            ),
        )
        .values(margins_at=changes, margins=names)
    )
    if not isinstance(claimed, CursorResult) or claimed.rowcount != 1:
        return False
    former = (col(row.length_ms) == period.length_ms, col(row.start_ms) == period.start_ms)
    await transaction.session.exec(delete(row).where(*former))
    values = [
        (
            *(*period, dimension, margin.value, margin.provider, margin.model),
            *(_number(margin.sums[name]) for name in COUNTS),
            margin.latencies,
        )
        for dimension, found in margins.items()
        for margin in found
    ]
    if values:
        connection = await transaction.session.connection()
        await connection.exec_driver_sql(_put(connection.dialect), values)
    return True


def _number(value: Any) -> Any:  # noqa: ANN401 - as a database adds up
    # PostgreSQL adds up integers to another type of number.
    return int(value) if isinstance(value, Decimal) else value


@lru_cache(maxsize=8)
def _put(dialect: Dialect) -> str:
    """Return the SQL that stores a margin; parameters in order."""
    new = insert(UsageMarginRow).values({name: bindparam(name) for name in _COLUMNS}).inline()
    return str(new.compile(dialect=dialect))
