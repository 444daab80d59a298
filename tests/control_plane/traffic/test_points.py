"""What happened in a step, of what had been counted at its begin and its end."""

from typing import Any

import pytest
from modelserving.store.v1.series_pb2 import SeriesCounts

from modelplane.adapters.shared.latency import BUCKETS, LATENCY_BOUNDS_MS
from modelplane.control_plane.store.endpoints.series import Opening
from modelplane.control_plane.traffic.points import build_entity, quantile


def buckets(**calls: int) -> list[int]:
    """Calls by place, as `_2=5`."""
    return [calls.get(f"_{place}", 0) for place in range(BUCKETS)]


@pytest.mark.parametrize(
    ("calls", "part", "expected"),
    [
        (buckets(), 0.5, 0.0),
        ([], 0.5, 0.0),
        (buckets(_0=2), 0.5, 2.5),
        (buckets(_1=4), 0.5, 7.5),
        (buckets(_1=50, _4=50), 0.99, 99.0),
        (buckets(_1=50, _4=50), 0.5, 10.0),
        (buckets(_15=1), 0.5, LATENCY_BOUNDS_MS[-1]),
    ],
)
def test_a_quantile_is_within_its_bucket(calls: list[int], part: float, expected: float) -> None:
    assert quantile(calls, part) == pytest.approx(expected)


def opening(step: int, **counts: Any) -> Opening:
    return Opening("id", 60, step, "gpt", SeriesCounts(**counts).SerializeToString())


def test_who_begins_at_zero_again_has_done_what_it_counts() -> None:
    openings = [opening(10, requests=100, input_tokens=7), opening(12, requests=3)]
    told = build_entity("gpt", openings, SeriesCounts(requests=5, input_tokens=1), range(10, 13))
    assert list(told.requests) == [3, 0, 2]
    assert list(told.input_tokens) == [0, 0, 1]


def test_steps_after_those_that_are_told_end_the_last_one() -> None:
    openings = [opening(10, requests=1), opening(11, requests=4), opening(20, requests=9)]
    told = build_entity("gpt", openings, SeriesCounts(requests=30), range(10, 12))
    assert list(told.requests) == [3, 5]


def test_more_than_a_number_holds_is_as_much_as_it_does() -> None:
    told = build_entity("gpt", [opening(1)], SeriesCounts(requests=2**40), range(1, 2))
    assert list(told.requests) == [2**31 - 1]
