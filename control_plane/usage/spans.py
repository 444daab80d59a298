"""Makes the totals of several hours or days together.

Before: `totals`, which has made those of hours and days by then. After: `store.usage.spans`.
"""

from collections.abc import Iterator
from math import inf

from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.usage.periods import (
    DAY_MS,
    HOUR_MS,
    PARTS_OF_DAYS,
    SPANS,
    Period,
)
from modelplane.control_plane.store.usage.spans import (
    Marks,
    delete_parts_of_days,
    is_known,
    read_marks,
    store_span,
    sum_span,
)

# Parts of days are kept so long: those of yesterday are read until it has totals.
_KEPT_MS = 2 * DAY_MS


class UsageSpans:
    """Makes them, and makes them again when queries came late."""

    def __init__(self, database: Database) -> None:
        """Make totals of the ledger in `database`."""
        self._database = database
        # The changes of spans as the last round found them: what changes is left alone.
        self._changes: dict[Period, int] = {}

    async def make(self, now_ms: int) -> None:
        """Sum up what is over and has not changed since the last round.

        Raises:
            StoreUnavailable: The database does not answer.
            TooManyCalls: Reports keep it busy.
            ReportTooLong: A span takes too long.
        """
        parts_since_ms = now_ms // DAY_MS * DAY_MS - _KEPT_MS
        async with self._database.report() as session:
            marks = await read_marks(session, is_known(), (-inf, inf), with_spans=True)
        if any(_is_old(span, parts_since_ms) for span in marks.spans):
            async with self._database.write() as transaction:
                await delete_parts_of_days(transaction, parts_since_ms)
        former, self._changes = self._changes, {}
        for span in _whole_spans(marks):
            changes = marks.changes_of(span)
            if changes is None or _is_old(span, parts_since_ms):
                continue
            self._changes[span] = changes
            if former.get(span) == changes != marks.spans.get(span):
                await self._make(span)

    async def _make(self, span: Period) -> None:
        whole = (span.start_ms, span.end_ms)
        async with self._database.report() as session:
            # Those that are shorter were made since, and their marks and sums are of one moment.
            marks = await read_marks(session, is_known(), whole, with_spans=True)
            changes = marks.changes_of(span)
            if changes is None:
                # Its queries were old, and went.
                return
            totals = await sum_span(
                session, span, marks, is_postgresql=self._database.is_postgresql
            )
        async with self._database.write() as transaction:
            await store_span(transaction, span, marks, changes, totals)


def _is_old(span: Period, parts_since_ms: int) -> bool:
    return span.length_ms in PARTS_OF_DAYS and span.start_ms < parts_since_ms


def _whole_spans(marks: Marks) -> Iterator[Period]:
    """Yield the spans that begin and end where hours are marked, shorter ones first."""
    if not marks.changes:
        return
    first, end = min(marks.changes), max(marks.changes) + HOUR_MS
    for length in SPANS:
        for start in range(-(-first // length) * length, end - length + 1, length):
            yield Period(length, start)
