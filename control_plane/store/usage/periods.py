"""Which totals tell of a time, and which queries have to be read besides: pure.

Used by `totals` and `usage.totals`. Times are milliseconds since the epoch, UTC; a range has its
start in it and its end not.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import TypeAlias

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# Each range is a condition in a statement. With more than this, all queries are read instead.
_MAX_RANGES = 100

Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Cover:
    """What tells of each moment of a time once.

    Attributes:
        days: Ranges for which the totals of days tell.
        hours: Ranges for which the totals of hours tell.
        rest: Ranges for which only the queries themselves do; ends may be infinite.
    """

    days: Sequence[Range]
    hours: Sequence[Range]
    rest: Sequence[Range]


def cover(
    start_ms: float | None, end_ms: float | None, hours: Collection[int], days: Collection[int]
) -> Cover:
    """Return what tells of the time from `start_ms` to before `end_ms`; None: without an end.

    Args:
        start_ms: First moment.
        end_ms: Moment after the last.
        hours: Starts of the hours that have totals.
        days: Starts of the days that have totals.
    """
    whole = (-inf if start_ms is None else start_ms, inf if end_ms is None else end_ms)
    used_days = [day for day in days if _contains(whole, day, DAY_MS)]
    known = set(used_days)
    used_hours = [
        hour
        for hour in hours
        if _contains(whole, hour, HOUR_MS) and hour // DAY_MS * DAY_MS not in known
    ]
    of_days, of_hours = list(_joined(used_days, DAY_MS)), list(_joined(used_hours, HOUR_MS))
    rest = list(_between(whole, sorted(of_days + of_hours)))
    if len(rest) > _MAX_RANGES:
        return Cover([], [], [whole])
    return Cover(of_days, of_hours, rest)


def _contains(whole: Range, start: int, length: int) -> bool:
    return whole[0] <= start and start + length <= whole[1]


def _joined(starts: Collection[int], length: int) -> Iterator[Range]:
    """Yield the ranges that periods make up together."""
    begin = end = -inf
    for start in sorted(starts):
        if start != end:
            if begin != end:
                yield begin, end
            begin = start
        end = start + length
    if begin != end:
        yield begin, end


def _between(whole: Range, parts: Collection[Range]) -> Iterator[Range]:
    """Yield what of `whole` is in no part; they are in order."""
    begin, end = whole
    for start, stop in parts:
        if begin < start:
            yield begin, start
        begin = stop
    if begin < end:
        yield begin, end
