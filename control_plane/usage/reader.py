"""Reads the usage ledger, for administrators and for those who manage an endpoint.

Before: `servicer`. After: `store.usage.queries`, `store.usage.sums`. What writes it is
`intake`.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelplane.control_plane.access import require_admin
from modelplane.control_plane.clock import Clock, system_clock
from modelplane.control_plane.endpoints.lookup import find_endpoint
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.store.database import Database, is_storable
from modelplane.control_plane.store.usage.filters import UsageFilter
from modelplane.control_plane.store.usage.groups import Group, Sums, TooManyGroups
from modelplane.control_plane.store.usage.periods import DAY_MS
from modelplane.control_plane.store.usage.prices import read_prices
from modelplane.control_plane.store.usage.queries import (
    ServedVersion,
    StoredQuery,
    list_queries,
    list_served_versions,
)
from modelplane.control_plane.store.usage.request_tags import UNREADABLE
from modelplane.control_plane.store.usage.sources import OWN_TAG, TAGS
from modelplane.control_plane.store.usage.sums import DIMENSIONS, sum_queries
from modelplane.control_plane.store.usage.tags import decode_tags
from modelplane.control_plane.time_span import check_time_span

MAX_RESULTS = 1_000
MAX_GROUPS = 10_000
MAX_DIMENSIONS = 10
_TAG = "tag:"
_TOKEN = re.compile(r"(\d{1,15})-([0-9a-f]{32})")
_VERSION_TOKEN = re.compile(r"(\d{1,9})-([0-9A-Za-z-]{1,64})")


@dataclass(frozen=True, slots=True)
class Total:
    """What the queries of one group used together.

    Attributes:
        values: Values of the dimensions.
        group: What was used.
        currency: What costs are counted in; None: there are no prices.
    """

    values: tuple[Any, ...]
    group: Group
    currency: str | None

    @property
    def sums(self) -> Sums:
        """Sums by name; None where no query of the group said."""
        return self.group.sums


class UsageReader:
    """The usage ledger as it can be read."""

    def __init__(self, database: Database, clock: Clock = system_clock) -> None:
        self._database = database
        self._clock = clock

    async def narrow(self, principal: Principal, name: str, selected: UsageFilter) -> UsageFilter:
        """Return a filter that selects of one endpoint only.

        Raises:
            NotFound: There is none that the principal may see.
            PermissionDenied: The principal may not manage it.
        """
        async with self._database.read() as session:
            record = await find_endpoint(session, principal, name, Level.CAN_MANAGE)
        return replace(selected, endpoint_id=record.id)

    async def queries(
        self, principal: Principal, selected: UsageFilter, limit: int, page_token: str
    ) -> tuple[list[StoredQuery], str]:
        """Return the newest queries that a filter selects, and the token of the next page.

        Args:
            principal: Who asks.
            selected: Which queries.
            limit: Most queries to return.
            page_token: Token of the page; empty for the first.

        Raises:
            PermissionDenied: The principal may not ask that.
            InvalidParameter: The limit, the token or a filter is none.
        """
        _check(principal, selected)
        if not 1 <= limit <= MAX_RESULTS:
            raise InvalidParameter(f"'max_results' must be from 1 to {MAX_RESULTS}.")
        if page_token:
            time_ms, query_id = _parse_token(_TOKEN, page_token)
            selected = replace(selected, before=(time_ms, query_id))
        async with self._database.report() as session:
            queries = await list_queries(
                session, selected, limit + 1, is_postgresql=self._database.is_postgresql
            )
        if len(queries) <= limit:
            return queries, ""
        last = queries[limit - 1]
        return queries[:limit], f"{last.time_ms}-{last.id}"

    async def totals(
        self,
        principal: Principal,
        selected: UsageFilter,
        group_by: Sequence[str],
        *,
        percentiles: bool = False,
    ) -> list[Total]:
        """Return the totals of each group that a filter selects from.

        Args:
            principal: Who asks.
            selected: Which queries.
            group_by: Names of dimensions.
            percentiles: Whether the groups are to know their latencies.

        Raises:
            PermissionDenied: The principal may not ask that.
            InvalidParameter: A dimension or a filter is none, or there are too many groups.
        """
        _check(principal, selected)
        if len(group_by) > MAX_DIMENSIONS:
            raise InvalidParameter(f"'group_by' may have at most {MAX_DIMENSIONS} names.")
        dimensions = [column for name in group_by for column in _columns(name)]
        if "minute" in group_by:
            self._check_minutes(selected)
        try:
            async with self._database.report() as session:
                prices = await read_prices(session)
                groups = await sum_queries(
                    session,
                    selected,
                    dimensions,
                    prices,
                    MAX_GROUPS,
                    is_postgresql=self._database.is_postgresql,
                    percentiles=percentiles,
                )
        except TooManyGroups:
            raise InvalidParameter(
                f"There are more than {MAX_GROUPS} groups; select a shorter time or group by less."
            ) from None
        return _fold(group_by, groups, prices.currency)

    def _check_minutes(self, selected: UsageFilter) -> None:
        """Check that minutes, which no totals tell, are asked of a short time.

        Raises:
            InvalidParameter: They are not.
        """
        end_ms = self._clock() if selected.end_ms is None else selected.end_ms
        if selected.start_ms is None or end_ms - selected.start_ms > DAY_MS:
            raise InvalidParameter(
                "'group_by' minute is of at most 24 hours; set 'start_time' and 'end_time', or "
                "group by hour."
            )

    async def served_entities(
        self, principal: Principal, endpoint: str | None, page_token: str
    ) -> tuple[list[ServedVersion], str]:
        """Return the versions that have served, and the token of the next page.

        Raises:
            PermissionDenied: The principal is no administrator.
            InvalidParameter: The token is none.
        """
        require_admin(principal)
        _check_texts(endpoint)
        after = None
        if page_token:
            version, endpoint_id = _parse_token(_VERSION_TOKEN, page_token)
            after = endpoint_id, version
        async with self._database.report() as session:
            versions = await list_served_versions(session, endpoint, after, MAX_RESULTS + 1)
        if len(versions) <= MAX_RESULTS:
            return versions, ""
        last = versions[MAX_RESULTS - 1]
        return versions[:MAX_RESULTS], f"{last.version}-{last.endpoint_id}"


def _check(principal: Principal, selected: UsageFilter) -> None:
    if selected.endpoint_id is None:
        require_admin(principal)
    _check_texts(selected.endpoint, selected.served_entity, selected.requester)
    _check_texts(selected.client, selected.request_id, selected.client_request_id)
    _check_texts(selected.provider, selected.model)
    check_time_span(selected.start_ms, selected.end_ms)
    if selected.min_latency_ms is not None and not 0 <= selected.min_latency_ms < math.inf:
        raise InvalidParameter("'min_latency_ms' must be a number that is not negative.")
    if selected.tag is not None:
        _check_texts(selected.tag[1])
        _check_key(selected.tag[0])


def _check_texts(*texts: str | None) -> None:
    if not all(is_storable(text or "") for text in texts):
        raise InvalidParameter("Filters must not hold the NUL character.")


def _check_key(key: str) -> None:
    if not key.isprintable() or not UNREADABLE.isdisjoint(key):
        raise InvalidParameter("The key of a tag must not hold quotes, backslashes or controls.")


def _columns(name: str) -> tuple[str, ...]:
    """Return the columns that tell of a dimension."""
    if name.startswith(_TAG) and len(name) > len(_TAG):
        key = name.removeprefix(_TAG)
        _check_key(key)
        return f"{OWN_TAG}{key}", TAGS
    if name not in DIMENSIONS:
        known = ", ".join(DIMENSIONS)
        raise InvalidParameter(f"'group_by' {name[:100]!r} is unknown; use {known} or tag:KEY.")
    return (name,)


def _fold(
    group_by: Sequence[str], groups: Sequence[tuple[tuple[Any, ...], Group]], currency: str | None
) -> list[Total]:
    """Return totals by the tags that were asked for, where the groups are by all tags."""
    totals: dict[tuple[Any, ...], Total] = {}
    for values, group in groups:
        key = tuple(_read(group_by, iter(values)))
        totals.setdefault(key, Total(key, Group(), currency)).group.add(group)
    return list(totals.values())


def _read(group_by: Sequence[str], values: Iterator[Any]) -> Iterator[Any]:
    """Yield the value of each dimension: of a tag the query's own, else its endpoint's."""
    for name in group_by:
        value = next(values)
        if name.startswith(_TAG):
            of_endpoint = decode_tags(next(values)).get(name.removeprefix(_TAG))
            value = of_endpoint if value is None else value
        yield value


def _parse_token(form: re.Pattern[str], page_token: str) -> tuple[int, str]:
    found = form.fullmatch(page_token)
    if not found:
        raise InvalidParameter("'page_token' must be the 'next_page_token' of another page.")
    return int(found[1]), found[2]
