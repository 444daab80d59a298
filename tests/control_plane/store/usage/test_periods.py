"""Each moment is told once: by a day, an hour, or the queries themselves."""

from itertools import pairwise
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from modelplane.control_plane.store.usage.periods import DAY_MS, HOUR_MS, Cover, cover

TIMES = st.one_of(st.none(), st.integers(0, 4 * DAY_MS))
STARTS = st.sets(st.integers(0, 95).map(lambda hour: hour * HOUR_MS))
DAYS = st.sets(st.integers(0, 3).map(lambda day: day * DAY_MS))


@given(TIMES, TIMES, STARTS, DAYS)
def test_ranges_make_up_the_whole_without_overlap(
    start: int | None, end: int | None, hours: set[int], days: set[int]
) -> None:
    found = cover(start, end, hours, days)
    whole = (-inf if start is None else start, inf if end is None else end)
    parts = sorted([*found.days, *found.hours, *found.rest])
    if whole[0] >= whole[1]:
        assert parts == []
        return
    assert parts[0][0] == whole[0]
    assert parts[-1][1] == whole[1]
    assert all(one[1] == other[0] for one, other in pairwise(parts))
    for ranges, length, starts in ((found.days, DAY_MS, days), (found.hours, HOUR_MS, hours)):
        for first, stop in ranges:
            assert set(range(int(first), int(stop), length)) <= starts


def test_what_is_in_too_many_pieces_is_read_as_a_whole() -> None:
    hours = range(0, 400 * HOUR_MS, 2 * HOUR_MS)
    assert cover(None, None, hours, []) == Cover([], [], [(-inf, inf)])
    assert len(cover(None, None, list(hours)[:50], []).hours) == 50
