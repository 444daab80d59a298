"""What a served entity did in each step, of what had been counted when steps began: pure.

Before: `series`.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from modelserving.store.v1.series_pb2 import SeriesCounts
from modelserving.v1.traffic_service_pb2 import EntitySeries

from modelplane.adapters.shared.latency import LATENCY_BOUNDS_MS
from modelplane.control_plane.store.endpoints.series import Opening

_NUMBERS = ("requests", "client_errors", "server_errors", "limited")
_TOKENS = ("input_tokens", "output_tokens")
_QUANTILES = {
    "latency_buckets": (
        ("latency_p50_ms", 0.5),
        ("latency_p95_ms", 0.95),
        ("latency_p99_ms", 0.99),
    ),
    "first_chunk_buckets": (("first_chunk_p50_ms", 0.5), ("first_chunk_p95_ms", 0.95)),
}
_MOST = 2**31 - 1


def build_entity(
    name: str, openings: Sequence[Opening], now: SeriesCounts, steps: range
) -> EntitySeries:
    """Return what an entity did in each of `steps`.

    Args:
        name: Name of the entity.
        openings: Of it, in order, from the first of the steps to now.
        now: What is counted now.
        steps: The steps, by their numbers.
    """
    lists: dict[str, list[float]] = {
        field.name: [0] * len(steps)
        for field in EntitySeries.DESCRIPTOR.fields
        if field.name != "served_entity_name"
    }
    for step, before, after in _pairs(openings, now):
        if step not in steps:
            continue
        place = step - steps.start
        for field in (*_NUMBERS, *_TOKENS):
            lists[field][place] = _growth(before, after, field)
        for buckets, quantiles in _QUANTILES.items():
            grown = _grown_buckets(before, after, buckets)
            for field, part in quantiles:
                lists[field][place] = quantile(grown, part)
    for field in _NUMBERS:
        lists[field] = [min(_MOST, int(value)) for value in lists[field]]
    return EntitySeries(served_entity_name=name, **lists)  # type: ignore[arg-type]


def quantile(buckets: Sequence[int], part: float) -> float:
    """Return below which duration a part of the calls stayed, milliseconds; 0 without calls.

    Within a bucket, calls are taken to be spread evenly. Beyond the last bound, it is the bound.

    Args:
        buckets: Calls by duration, for each bound of `LATENCY_BOUNDS_MS` and beyond.
        part: The part, between 0 and 1.
    """
    wanted = part * sum(buckets)
    below = 0.0
    if not wanted:
        return 0.0
    for bound, calls in zip(LATENCY_BOUNDS_MS, buckets, strict=False):
        if calls >= wanted:
            return round(below + (bound - below) * wanted / calls, 3)
        wanted -= calls
        below = bound
    return below


def _pairs(
    openings: Sequence[Opening], now: SeriesCounts
) -> Iterator[tuple[int, SeriesCounts, SeriesCounts]]:
    """Yield each step with what was counted at its begin and its end."""
    counts = [SeriesCounts.FromString(one.counts) for one in openings]
    for opening, before, after in zip(openings, counts, [*counts[1:], now], strict=False):
        yield opening.step, before, after


def _growth(before: SeriesCounts, after: SeriesCounts, field: str) -> int:
    new, old = getattr(after, field), getattr(before, field)
    # An older release does not carry on what it does not know, so that it begins at zero again.
    return int(new - old if new >= old else new)


def _grown_buckets(before: SeriesCounts, after: SeriesCounts, field: str) -> list[int]:
    new, old = getattr(after, field), getattr(before, field)
    if sum(new) < sum(old):
        return list(new)
    return [max(0, there - here) for there, here in zip_longest(new, old, fillvalue=0)]
