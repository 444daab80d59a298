"""A provisioned throughput for five minutes, with more sent than it has, and a neighbour."""

import pytest

from bench.neighbours import measure
from tests.hosting.paced import CHUNK

SECONDS = 300


@pytest.mark.long
def test_a_chunk_is_held_and_its_neighbour_is_not_disturbed() -> None:
    figures = measure(seconds=SECONDS)
    # A bucket of five seconds was full at first; half of 5 % is left for answers under way.
    most = CHUNK * (SECONDS + 5) * 1.025
    used = sum(tokens for _, tokens in figures.noisy.used)
    assert 0.95 * CHUNK * SECONDS <= used <= most
    bins = figures.bins()
    assert 0.95 * CHUNK <= sum(bins) / len(bins) <= 1.05 * CHUNK
    assert figures.noisy.statuses.keys() == {200, 429}
    assert figures.noisy.without_retry_after == 0
    assert figures.beside.statuses.keys() == {200}
