"""Sums up the hours and days of the usage ledger that are over, so that reports read little.

Nobody depends on it: what has no total yet is added up from its queries. Replicas that do it at the
same time do it once. Beside: `intake`, which writes the queries. After: `spans`,
`store.usage.totals`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.clock import Clock
from modelplane.control_plane.errors import ReportTooLong, StoreUnavailable, TooManyCalls
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.states import TotalState
from modelplane.control_plane.store.usage import totals
from modelplane.control_plane.store.usage.margin_sums import NO_MARGINS, sum_margins
from modelplane.control_plane.store.usage.margins import store_margins
from modelplane.control_plane.store.usage.periods import DAY_MS, HOUR_MS, Period
from modelplane.control_plane.store.usage.totals import Mark
from modelplane.control_plane.usage.spans import UsageSpans

_log = logging.getLogger(__name__)

_ROUND_SECONDS = 60.0
# An hour is summed up so long after its end: most of its queries have ended by then.
_LAG_MS = 600_000
# Marks that are made in one transaction, which keeps queries waiting meanwhile.
_MARKS = 500


class UsageTotals:
    """Makes the totals, and makes them again when queries came late."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        retention_days: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Make totals of the ledger in `database`.

        Args:
            database: Where it is.
            clock: Time.
            retention_days: Days that queries are kept.
            sleep: Waits for seconds.
        """
        self._database = database
        self._clock = clock
        self._retention_ms = retention_days * DAY_MS
        self._sleep = sleep
        # The marks as the last round found them: what changes is left alone until it does not.
        self._marks: dict[Period, Mark] = {}
        self._spans = UsageSpans(database)

    async def run(self) -> None:
        """Make totals until cancelled."""
        while True:
            try:
                await self.make()
            except (StoreUnavailable, TooManyCalls, ReportTooLong) as error:
                _log.warning("usage has no newer totals", extra=log_fields(error=str(error)))
            await self._sleep(_ROUND_SECONDS)

    async def make(self) -> None:
        """Mark what is over, and sum up what has not changed since the last round.

        Raises:
            StoreUnavailable: The database does not answer.
            TooManyCalls: Reports keep it busy.
            ReportTooLong: An hour takes too long.
        """
        now_ms = self._clock()
        async with self._database.report() as session:
            marks = await totals.read_marks(session)
            oldest_ms = await totals.read_oldest_ms(session)
        await self._mark(marks, oldest_ms, now_ms)
        quiet = [
            period
            for period, mark in marks.items()
            if not mark.is_made and self._marks.get(period) == mark
        ]
        self._marks = marks
        # Hours first, of which days are made, and the newest of each: they are asked for most.
        for period in sorted(quiet, key=lambda item: (item.length_ms, -item.start_ms)):
            await self._sum(period, marks)
        await self._spans.make(now_ms)

    async def _mark(self, marks: Mapping[Period, Mark], oldest_ms: int | None, now_ms: int) -> None:
        if oldest_ms is None:
            return
        # What is older goes, and a clock that was wrong once is not to make a million hours.
        since_ms = max(oldest_ms, now_ms - self._retention_ms)
        new = [period for period in _over(since_ms, now_ms - _LAG_MS) if period not in marks]
        for start in range(0, len(new), _MARKS):
            async with self._database.write() as transaction:
                await totals.mark_periods(transaction, new[start : start + _MARKS])

    async def _sum(self, period: Period, marks: dict[Period, Mark]) -> None:
        mark = marks[period]
        changes, state, told = mark.changes, mark.state, mark.has_latencies
        of_hours = period.length_ms == DAY_MS and all(
            _tells(marks.get(hour)) for hour in _hours(period)
        )
        kept: bool | None = None
        # An older release's totals have no latencies.
        if state is TotalState.CHANGED or (state is TotalState.TOTALS and not told):
            async with self._database.report() as session:
                sums = await totals.sum_period(
                    session, period, of_hours=of_hours, is_postgresql=self._database.is_postgresql
                )
            async with self._database.write() as transaction:
                state = await totals.store_totals(transaction, period, changes, sums)
                if not sums:
                    # Most hours of a small deployment: nothing has to be asked for once more.
                    kept = await store_margins(transaction, period, changes, NO_MARGINS)
            told = state is not TotalState.CHANGED
        if kept is None:
            kept = await self._make_margins(period, changes, state)
        marks[period] = Mark(changes, state, kept, told)

    async def _make_margins(self, period: Period, changes: int, state: TotalState) -> bool:
        async with self._database.report() as session:
            margins = await sum_margins(
                session,
                period,
                of_totals=state is TotalState.TOTALS,
                is_postgresql=self._database.is_postgresql,
            )
        async with self._database.write() as transaction:
            return await store_margins(transaction, period, changes, margins)


def _tells(hour: Mark | None) -> bool:
    """Tell whether an hour has totals that a day can be made of."""
    return hour is not None and hour.state is TotalState.TOTALS and hour.has_latencies


def _over(since_ms: int, until_ms: int) -> Iterator[Period]:
    """Yield the hours and days that are not over at the first time but are at the second."""
    for length_ms in (HOUR_MS, DAY_MS):
        for start_ms in range(since_ms // length_ms * length_ms, until_ms, length_ms):
            period = Period(length_ms, start_ms)
            if period.end_ms <= until_ms:
                yield period


def _hours(day: Period) -> list[Period]:
    return [Period(HOUR_MS, start) for start in range(day.start_ms, day.end_ms, HOUR_MS)]
