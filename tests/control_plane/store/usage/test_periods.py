"""Each moment is told once: by a span, a day, an hour, or the queries themselves."""

import operator
from functools import partial
from itertools import pairwise
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from modelplane.control_plane.store.usage.periods import DAY_MS, HOUR_MS, SPANS, Cover, cover

DAYS = 8
TIMES = st.lists(st.integers(0, DAYS * DAY_MS), unique=True, max_size=6).map(sorted)
LENGTHS = (HOUR_MS, DAY_MS, *(length for length in SPANS if length <= DAYS * DAY_MS))
KNOWN = st.fixed_dictionaries(
    {
        length: st.sets(
            st.integers(0, DAYS * DAY_MS // length - 1).map(partial(operator.mul, length))
        )
        for length in LENGTHS
    }
)


@given(TIMES, st.sampled_from((0, -inf)), KNOWN)
def test_ranges_make_up_what_is_asked_for_without_overlap(
    times: list[float], begin: float, known: dict[int, set[int]]
) -> None:
    ends = [begin, *times, inf] if begin else times
    wholes = list(zip(ends[::2], ends[1::2], strict=False))
    found = cover(wholes, known)
    parts = sorted([*(each for ranges in found.parts.values() for each in ranges), *found.rest])
    for start, end in wholes:
        within = [part for part in parts if start <= part[0] < end]
        assert within[0][0] == start
        assert within[-1][1] == end
        assert all(one[1] == other[0] for one, other in pairwise(within))
    assert all(any(start <= part[0] < end for start, end in wholes) for part in parts)
    for length, ranges in found.parts.items():
        for first, stop in ranges:
            assert set(range(int(first), int(stop), length)) <= known[length]


def test_the_longest_periods_tell() -> None:
    days = {length: range(0, 32 * DAY_MS, length) for length in (DAY_MS, *SPANS)}
    found = cover([(DAY_MS, 31 * DAY_MS + HOUR_MS)], days)
    told = {length // DAY_MS: ranges for length, ranges in found.parts.items()}
    assert set(told) == {8, 4, 2, 1}
    assert sum(len(ranges) for ranges in told.values()) <= 8
    assert found.rest == [(31 * DAY_MS, 31 * DAY_MS + HOUR_MS)]


def test_nothing_is_asked_for() -> None:
    assert cover([(DAY_MS, 0)], {HOUR_MS: [0], DAY_MS: [0]}) == Cover({}, [])


def test_what_is_in_too_many_pieces_is_read_as_a_whole() -> None:
    hours = range(0, 400 * HOUR_MS, 2 * HOUR_MS)
    assert cover([(-inf, inf)], {HOUR_MS: hours}) == Cover({}, [(-inf, inf)])
    assert len(cover([(-inf, inf)], {HOUR_MS: hours[:50]}).parts[HOUR_MS]) == 50
