"""Which totals tell of a time, and which queries have to be read besides: pure.

Used by `totals` and `usage.totals`. Times are milliseconds since the epoch, UTC; a range has its
start in it and its end not.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple, TypeAlias

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# Each range is a condition in a statement. With more than this, all queries are read instead.
_MAX_RANGES = 100

Range: TypeAlias = tuple[float, float]


class Period(NamedTuple):
    """An hour or a day."""

    length_ms: int
    start_ms: int

    @property
    def end_ms(self) -> int:
        """When it is over."""
        return self.start_ms + self.length_ms


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


def cover(wholes: Sequence[Range], hours: Collection[int], days: Collection[int]) -> Cover:
    """Return what tells of these times.

    Args:
        wholes: What is asked for, in order; ends may be infinite.
        hours: Starts of the hours that have totals.
        days: Starts of the days that have totals.
    """
    used_days = [day for day in days if _contain(wholes, day, DAY_MS)]
    known = set(used_days)
    used_hours = [
        hour
        for hour in hours
        if hour // DAY_MS * DAY_MS not in known and _contain(wholes, hour, HOUR_MS)
    ]
    of_days, of_hours = list(_joined(used_days, DAY_MS)), list(_joined(used_hours, HOUR_MS))
    parts = sorted(of_days + of_hours)
    rest = [between for whole in wholes for between in _between(whole, parts)]
    if len(rest) > _MAX_RANGES:
        return Cover([], [], wholes)
    return Cover(of_days, of_hours, rest)


def _contain(wholes: Sequence[Range], start: int, length: int) -> bool:
    # The last that has begun by then, if any has.
    place = bisect_right(wholes, (start, inf)) - 1
    return place >= 0 and start + length <= wholes[place][1]


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
    """Yield what of `whole` is in no part; they are in order, and in `whole` or beside it."""
    begin, end = whole
    for start, stop in parts:
        if stop <= begin:
            continue
        if start >= end:
            break
        if begin < start:
            yield begin, start
        begin = stop
    if begin < end:
        yield begin, end
