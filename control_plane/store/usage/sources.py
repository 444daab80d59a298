"""The tables that can be summed up: queries, and totals of them.

Before: `sums`, `totals`, `margin_sums`. Beside: `margins`. After: `tables`, `latencies`, `prices`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from sqlalchemy import ColumnElement, case, func, literal_column, null
from sqlmodel import col, select

from modelplane.control_plane.store.states import UsageState
from modelplane.control_plane.store.usage import latencies
from modelplane.control_plane.store.usage.groups import COUNTS
from modelplane.control_plane.store.usage.periods import DAY_MS, HOUR_MS
from modelplane.control_plane.store.usage.prices import holds
from modelplane.control_plane.store.usage.request_tags import own_value
from modelplane.control_plane.store.usage.tables import (
    UsageOriginRow,
    UsagePriceRow,
    UsageRow,
    UsageTotalRow,
)

_FIRST_FAILURE = 400
_FIRST_ERROR = 500
_MINUTE_MS = 60_000
ORIGIN: Mapping[str, Any] = {
    "endpoint": col(UsageOriginRow.endpoint_name),
    "served_entity": col(UsageOriginRow.served_entity_name),
    "provider": col(UsageOriginRow.provider),
    "model": col(UsageOriginRow.model),
    "requester": col(UsageOriginRow.requester),
    "task": col(UsageOriginRow.task),
    "client": col(UsageOriginRow.client),
}
# All tags of an endpoint, as they are stored.
TAGS = "tags"
_OF_ORIGINS = frozenset({*ORIGIN, TAGS})
# Before the key of a query's own tag.
OWN_TAG = "own:"
# What no totals tell.
OF_QUERIES = frozenset({"minute"})
_NONE: ColumnElement[int] = literal_column("0")
# In the place of latencies that nobody asks for.
NO_LATENCIES: tuple[ColumnElement[Any], ...] = (null(), _NONE)


@dataclass(frozen=True, slots=True)
class Keys:
    """What a statement groups by.

    Attributes:
        dimensions: Names of dimensions.
        with_prices: Whether by the identifier of the price besides.
        with_origins: Whether what queries have in common is asked for.
        with_latencies: Whether latencies are told, which are most of what is read then.
        is_postgresql: Whether it is for PostgreSQL.
    """

    dimensions: Sequence[str]
    with_prices: bool
    with_origins: bool
    with_latencies: bool
    is_postgresql: bool


@dataclass(frozen=True, slots=True)
class TableSource:
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
            **ORIGIN,
            TAGS: col(UsageOriginRow.tags_json),
            "status_code": col(self.row.status_code),
            "guardrail_action": col(self.row.guardrail_action),
            "day": self.time_ms // DAY_MS * DAY_MS,
            "hour": self.time_ms // HOUR_MS * HOUR_MS,
            "minute": self.time_ms // _MINUTE_MS * _MINUTE_MS,
        }
        return columns[name]

    def sums(self) -> dict[str, ColumnElement[Any]]:
        """Return what is added up, by name."""
        row = self.row
        status, unknown = col(row.status_code), col(row.state) == UsageState.UNKNOWN
        return {
            "requests": self.count,
            "failed_requests": self._number_of(status >= _FIRST_FAILURE),
            "errors": self._number_of(status >= _FIRST_ERROR),
            "unknown_requests": self._number_of(unknown),
            "input_token_count": func.sum(col(row.input_tokens)),
            "output_token_count": func.sum(col(row.output_tokens)),
            "cached_token_count": func.sum(col(row.cached_tokens)),
            "reasoning_token_count": func.sum(col(row.reasoning_tokens)),
            "input_character_count": func.sum(col(row.input_characters)),
            "output_character_count": func.sum(col(row.output_characters)),
            "latency_ms": func.sum(col(row.latency_ms)),
        }

    def query(self, keys: Keys, where: Sequence[ColumnElement[bool]]) -> Any:  # noqa: ANN401 - of many columns
        """Return the statement that tells of each group.

        Its columns are the keys, the sums of `COUNTS`, the text of latencies, and how many rows do
        not tell theirs; without latencies the last two are `NO_LATENCIES`.
        """
        of = [self.group(name, is_postgresql=keys.is_postgresql) for name in keys.dimensions]
        if keys.with_prices:
            of.append(col(UsagePriceRow.id))

        def joined(query: Any) -> Any:  # noqa: ANN401 - a statement
            query = query.select_from(self.row)
            if keys.with_origins:
                origin = col(UsageOriginRow.id) == col(self.row.origin_id)
                query = query.join(UsageOriginRow, origin)
            if keys.with_prices:
                price = holds(ORIGIN["provider"], ORIGIN["model"], self.time_ms)
                query = query.join(UsagePriceRow, price, isouter=True)
            return query.where(*where)

        if not keys.with_latencies:
            if self.row is UsageTotalRow and keys.with_origins and not keys.with_prices:
                return self._by_origin(keys, where)
            columns: list[Any] = [*of, *self.sums().values(), *NO_LATENCIES]
            return joined(select(*columns)).group_by(*of).order_by(*of)
        query, group_by = self.summed(of, joined, is_postgresql=keys.is_postgresql)
        return query.order_by(*group_by)

    def _by_origin(self, keys: Keys, where: Sequence[ColumnElement[bool]]) -> Any:  # noqa: ANN401 - of many columns
        """Return what `query` does, adding up by origin first: then few rows have texts."""
        names = [name for name in keys.dimensions if name not in _OF_ORIGINS]
        own = {name: self.group(name, is_postgresql=keys.is_postgresql) for name in names}
        by = [col(self.row.origin_id), *own.values()]
        columns: list[Any] = [
            by[0].label("origin_id"),
            *(one.label(f"of_{name}") for name, one in own.items()),
            *(one.label(name) for name, one in self.sums().items()),
        ]
        inner = select(*columns).select_from(self.row).where(*where).group_by(*by).subquery()
        of = [
            inner.c[f"of_{name}"]
            if name in own
            else self.group(name, is_postgresql=keys.is_postgresql)
            for name in keys.dimensions
        ]
        columns = [*of, *(func.sum(inner.c[name]) for name in COUNTS), *NO_LATENCIES]
        query: Any = select(*columns).select_from(inner)
        query = query.join(UsageOriginRow, col(UsageOriginRow.id) == inner.c.origin_id)
        return query.group_by(*of).order_by(*of)

    def summed(
        self,
        of: Sequence[Any],
        joined: Callable[[Any], Any],
        *,
        is_postgresql: bool,
        sums: Mapping[str, ColumnElement[Any]] | None = None,
    ) -> tuple[Any, list[Any]]:
        """Return a statement of groups with their latencies, and what it groups by.

        Args:
            of: The columns that it groups by.
            joined: Adds tables and conditions to a statement on the rows.
            is_postgresql: Whether it is for PostgreSQL.
            sums: What is added up, by name; None: `sums`.
        """
        sums = sums or self.sums()
        if self.row is UsageTotalRow:
            texts = col(UsageTotalRow.latencies)
            told = latencies.joined(texts, is_postgresql=is_postgresql)
            untold = func.count() - func.count(texts)
            columns: list[Any] = [*of, *sums.values(), told, untold]
            return joined(select(*columns)).group_by(*of), list(of)
        # By latency first, so that what is told of them is short.
        bucket = latencies.bucket_of(col(UsageRow.latency_ms), is_postgresql=is_postgresql)
        named = [one.label(f"of_{place}") for place, one in enumerate(of)]
        columns = [*named, bucket.label("bucket"), *(one.label(name) for name, one in sums.items())]
        inner = joined(select(*columns)).group_by(*of, bucket).subquery()
        outer_of = [inner.c[one.name] for one in named]
        text = latencies.as_text(inner.c.bucket, inner.c.requests)
        told = latencies.joined(text, is_postgresql=is_postgresql)
        columns = [*outer_of, *(func.sum(inner.c[name]) for name in sums), told, _NONE]
        return select(*columns).group_by(*outer_of), outer_of

    def _number_of(self, condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.sum(case((condition, self.requests), else_=0))


ROWS = TableSource(UsageRow, col(UsageRow.time_ms), 1, func.count())
_REQUESTS = col(UsageTotalRow.requests)
TOTALS = TableSource(UsageTotalRow, col(UsageTotalRow.start_ms), _REQUESTS, func.sum(_REQUESTS))
assert tuple(ROWS.sums()) == COUNTS  # noqa: S101 - rows are told in this order


def bounds(time_ms: Any, start_ms: float, end_ms: float) -> list[ColumnElement[bool]]:  # noqa: ANN401 - of a table
    """Return the conditions that a time is in a range."""
    found = []
    if start_ms != -inf:
        found.append(time_ms >= start_ms)
    if end_ms != inf:
        found.append(time_ms < end_ms)
    return found
