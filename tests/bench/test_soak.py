"""How a soak tells memory that grows from memory that is flat."""

import pytest

from bench.soak import Progress, change_of


def test_memory_that_settles_after_the_start_is_flat() -> None:
    settled = change_of("worker", [*[60.0] * 10, *[100.0] * 80, *[104.9] * 10])
    assert (settled.early, settled.last) == (100.0, 104.9)
    assert settled.flat
    assert not change_of("worker", [*[60.0] * 16, *[100.0] * 84]).flat


@pytest.mark.parametrize("last", [105.1, 94.9])
def test_memory_that_grows_or_shrinks_by_more_than_a_twentieth_is_not_flat(last: float) -> None:
    assert not change_of("worker", [100.0] * 90 + [last] * 10).flat


def test_samples_are_spread_evenly_over_the_requests() -> None:
    progress = Progress(requests=1000)
    sampled_at = []
    while progress.take():
        if progress.due():
            sampled_at.append(progress.sent)
    assert sampled_at == list(range(5, 1001, 5))
