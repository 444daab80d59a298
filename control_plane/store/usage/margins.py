"""Totals of hours and days by one dimension: few rows, where the totals by all dimensions are many.

A period has them of those dimensions of which they are worth it, and as long as nothing has
changed since (`UsagePeriodRow.margins_at`).

Before: `sums` (reads and makes them), `usage.totals`. After: `tables`, `filters`, `periods`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, Dialect, Integer, bindparam, func
from sqlmodel import and_, cast, col, delete, insert, update

from modelplane.control_plane.store.database import Transaction
from modelplane.control_plane.store.usage.filters import UsageFilter
from modelplane.control_plane.store.usage.periods import DAY_MS, HOUR_MS
from modelplane.control_plane.store.usage.tables import UsageMarginRow, UsagePeriodRow

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
_COUNTS = (
    "requests",
    "failed_requests",
    "unknown_requests",
    "input_token_count",
    "output_token_count",
    "cached_token_count",
    "reasoning_token_count",
    "input_character_count",
    "output_character_count",
    "latency_ms",
)
_COLUMNS = ("length_ms", "start_ms", "dimension", "value", *_COUNTS)

# Of one dimension: each value, and the sums by name.
Margin = Sequence[tuple[str | None, Mapping[str, Any]]]


def margin_for(selected: UsageFilter, dimensions: Sequence[str]) -> str | None:
    """Return the dimension whose margins tell what is asked for; None: none does."""
    asked = replace(selected, requester=None, client=None, start_ms=None, end_ms=None)
    # Margins know of nothing else, and of no filter that is new.
    if asked != UsageFilter():
        return None
    names = {name for name in dimensions if name not in _TIMES}
    names |= {name for name in ("requester", "client") if getattr(selected, name) is not None}
    if len(names) > 1 or not names.issubset(MARGINS):
        return None
    return names.pop() if names else ALL


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
        named = col(row.margins).contains(f",{self.dimension},")
        return and_(col(row.margins_at) == col(row.changes), named)

    def group(self, name: str) -> Any:  # noqa: ANN401 - of any type
        """Return the column by which a dimension groups."""
        if name in _TIMES:
            return self.time_ms // _TIMES[name] * _TIMES[name]
        value = col(UsageMarginRow.value)
        return cast(value, Integer) if name == "status_code" else value

    def sums(self) -> dict[str, ColumnElement[Any]]:
        """Return what is added up, by name."""
        return {name: func.sum(getattr(UsageMarginRow, name)) for name in _COUNTS}

    def conditions(self, selected: UsageFilter) -> list[ColumnElement[bool]]:
        """Return what a filter that `margin_for` accepts demands of a margin."""
        named = [selected.requester, selected.client]
        values = [col(UsageMarginRow.value) == value for value in named if value is not None]
        return [col(UsageMarginRow.dimension) == self.dimension, *values]


async def store_margins(
    transaction: Transaction,
    length_ms: int,
    start_ms: int,
    changes: int,
    margins: Mapping[str, Margin],
) -> bool:
    """Store the margins of a period in the place of what it had; return whether they hold.

    Nothing is stored if queries came since its mark had `changes`, or if another replica was
    faster.
    """
    mark, row = UsagePeriodRow, UsageMarginRow
    claimed = await transaction.session.exec(
        update(mark)
        .where(
            col(mark.length_ms) == length_ms,
            col(mark.start_ms) == start_ms,
            col(mark.changes) == changes,
            col(mark.margins_at) != changes,
        )
        .values(margins_at=changes, margins=f",{','.join(margins)},")
    )
    if not isinstance(claimed, CursorResult) or claimed.rowcount != 1:
        return False
    former = (col(row.length_ms) == length_ms, col(row.start_ms) == start_ms)
    await transaction.session.exec(delete(row).where(*former))
    values = [
        (length_ms, start_ms, dimension, value, *(_number(sums[name]) for name in _COUNTS))
        for dimension, margin in margins.items()
        for value, sums in margin
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
