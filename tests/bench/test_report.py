"""What measured values come to."""

import math

from bench.report import percentile


def test_percentiles() -> None:
    ordered = [float(number) for number in range(1, 101)]
    assert percentile(ordered, 0.5) == 51
    assert percentile(ordered, 0.99) == 100
    assert percentile([3.0], 0.99) == 3
    assert math.isnan(percentile([], 0.5))
