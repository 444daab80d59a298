"""Which totals tell of a time, and which queries have to be read besides: pure.

Used by `totals` and `usage.totals`. Times are milliseconds since the epoch, UTC; a range has its
start in it and its end not.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple, TypeAlias

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# What a day that is not over is read by, beside its hours, and what days are read by together. Each
# begins at a multiple of its length, and so lies in one of each longer kind.
PARTS_OF_DAYS = (3 * HOUR_MS, 6 * HOUR_MS, 12 * HOUR_MS)
SPANS = (*PARTS_OF_DAYS, *(DAY_MS << doubled for doubled in range(1, 5)))
# Each range is a condition in a statement. With more than this, all queries are read instead.
_MAX_RANGES = 100

Range: TypeAlias = tuple[float, float]


class Period(NamedTuple):
    """An hour, a day, or one of `SPANS`."""

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
        parts: Ranges for which the totals of periods tell, by the periods' length.
        rest: Ranges for which only the queries themselves do; ends may be infinite.
    """

    parts: Mapping[int, Sequence[Range]]
    rest: Sequence[Range]


def cover(wholes: Sequence[Range], known: Mapping[int, Collection[int]]) -> Cover:
    """Return what tells of these times, with as few periods as can be.

    Args:
        wholes: What is asked for, in order; ends may be infinite.
        known: Starts of the periods that have totals, by their length. Each length is a multiple of
            those that are shorter.
    """
    used: dict[int, set[int]] = {}
    for length in sorted(known, reverse=True):
        found = {
            start
            for start in known[length]
            if not any(start // longer * longer in starts for longer, starts in used.items())
            and _contain(wholes, start, length)
        }
        if found:
            used[length] = found
    parts = {length: list(_joined(starts, length)) for length, starts in used.items()}
    ordered = sorted(part for ranges in parts.values() for part in ranges)
    rest = [between for whole in wholes for between in _between(whole, ordered)]
    if len(rest) > _MAX_RANGES:
        return Cover({}, wholes)
    return Cover(parts, rest)


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
