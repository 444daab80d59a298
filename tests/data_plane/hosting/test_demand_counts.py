from modelplane.data_plane.hosting.demand_counts import DemandCounts


def test_the_mean_is_over_time() -> None:
    counts = DemandCounts(10.0)
    counts.arrivals = 2
    counts.change(1, 10.0)
    counts.change(1, 10.5)
    counts.change(-1, 10.75)
    assert counts.take(11.0) == (1.25, 2, 0, 0)
    assert counts.take(12.0) == (1.0, 0, 0, 0)


def test_a_time_without_anything_to_tell_does_not_count() -> None:
    counts = DemandCounts(0.0)
    counts.restart(100.0)
    counts.change(4, 100.0)
    assert counts.take(101.0) == (4.0, 0, 0, 0)
    # Two reports at once.
    assert counts.take(101.0) == (4.0, 0, 0, 0)
