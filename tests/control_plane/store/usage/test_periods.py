"""Each moment is told once: by a day, an hour, or the queries themselves."""

from itertools import pairwise
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from modelplane.control_plane.store.usage.periods import DAY_MS, HOUR_MS, Cover, cover

TIMES = st.lists(st.integers(0, 4 * DAY_MS), unique=True, max_size=6).map(sorted)
STARTS = st.sets(st.integers(0, 95).map(lambda hour: hour * HOUR_MS))
DAYS = st.sets(st.integers(0, 3).map(lambda day: day * DAY_MS))


@given(TIMES, st.sampled_from((0, -inf)), STARTS, DAYS)
def test_ranges_make_up_what_is_asked_for_without_overlap(
    times: list[float], begin: float, hours: set[int], days: set[int]
) -> None:
    ends = [begin, *times, inf] if begin else times
    wholes = list(zip(ends[::2], ends[1::2], strict=False))
    found = cover(wholes, hours, days)
    parts = sorted([*found.days, *found.hours, *found.rest])
    for start, end in wholes:
        within = [part for part in parts if start <= part[0] < end]
        assert within[0][0] == start
        assert within[-1][1] == end
        assert all(one[1] == other[0] for one, other in pairwise(within))
    assert all(any(start <= part[0] < end for start, end in wholes) for part in parts)
    for ranges, length, starts in ((found.days, DAY_MS, days), (found.hours, HOUR_MS, hours)):
        for first, stop in ranges:
            assert set(range(int(first), int(stop), length)) <= starts


def test_nothing_is_asked_for() -> None:
    assert cover([(DAY_MS, 0)], [0], [0]) == Cover([], [], [])


def test_what_is_in_too_many_pieces_is_read_as_a_whole() -> None:
    hours = range(0, 400 * HOUR_MS, 2 * HOUR_MS)
    assert cover([(-inf, inf)], hours, []) == Cover([], [], [(-inf, inf)])
    assert len(cover([(-inf, inf)], list(hours)[:50], []).hours) == 50
