"""What the queries of one group used together, as it is added up: pure.

Before: `sums`, `usage.reader`. After: `latencies`, `prices`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from modelplane.control_plane.store.usage.latencies import percentile

# What is added up, by name.
COUNTS = (
    "requests",
    "failed_requests",
    "errors",
    "unknown_requests",
    "input_token_count",
    "output_token_count",
    "cached_token_count",
    "reasoning_token_count",
    "input_character_count",
    "output_character_count",
    "latency_ms",
)
Sums = dict[str, float | None]
_NOTHING: Sequence[None] = (None,) * len(COUNTS)


class TooManyGroups(Exception):
    """There are more groups than are told, so that none is."""


@dataclass(slots=True)
class Group:
    """What queries used together. Reports have thousands of them.

    Attributes:
        counts: Sums in the order of `COUNTS`; None where no query said.
        latencies: Queries by the bucket of their latency.
        has_all_latencies: Whether none is missing, as of what an older control plane summed up.
        cost: What those cost that have a price, see `prices.as_decimal`; None: none has.
        unpriced: How many have none.
    """

    counts: Sequence[float | None] = _NOTHING
    latencies: dict[int, int] = field(default_factory=dict)
    has_all_latencies: bool = True
    cost: int | None = None
    unpriced: int = 0

    @property
    def sums(self) -> Sums:
        """Sums by name."""
        return dict(zip(COUNTS, self.counts, strict=True))

    def add_counts(self, counts: Sequence[float | None]) -> None:
        """Add sums in the order of `COUNTS`."""
        if self.counts is _NOTHING:
            self.counts = counts
            return
        self.counts = [
            ours if more is None else more if ours is None else ours + more
            for ours, more in zip(self.counts, counts, strict=True)
        ]

    def add_cost(self, cost: int) -> None:
        """Add what some cost."""
        self.cost = (self.cost or 0) + cost

    def add(self, other: "Group") -> None:
        """Add another group."""
        self.add_counts(other.counts)
        for bucket, requests in other.latencies.items():
            self.latencies[bucket] = self.latencies.get(bucket, 0) + requests
        self.has_all_latencies &= other.has_all_latencies
        if other.cost is not None:
            self.add_cost(other.cost)
        self.unpriced += other.unpriced

    def percentile(self, share: float) -> float | None:
        """Return the latency, milliseconds, that this share kept to; None: nobody knows."""
        return percentile(self.latencies, share) if self.has_all_latencies else None
