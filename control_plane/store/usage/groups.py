"""What the queries of one group used together, as it is added up: pure.

Before: `sums`, `usage.reader`. After: `latencies`, `prices`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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


class TooManyGroups(Exception):
    """There are more groups than are told, so that none is."""


@dataclass(slots=True)
class Group:
    """What queries used together.

    Attributes:
        sums: Sums by name; None where no query said.
        latencies: Queries by the bucket of their latency.
        has_all_latencies: Whether none is missing, as of what an older control plane summed up.
        cost: What those cost that have a price, see `prices.as_decimal`; None: none has.
        unpriced: How many have none.
    """

    sums: Sums = field(default_factory=lambda: dict.fromkeys(COUNTS))
    latencies: Counter[int] = field(default_factory=Counter)
    has_all_latencies: bool = True
    cost: int | None = None
    unpriced: int = 0

    def add_sums(self, sums: Mapping[str, Any]) -> None:
        """Add sums by name, as a database tells them."""
        for name, value in sums.items():
            if value is not None:
                number = float(value) if name == "latency_ms" else int(value)
                self.sums[name] = (self.sums[name] or 0) + number

    def add_cost(self, cost: int) -> None:
        """Add what some cost."""
        self.cost = (self.cost or 0) + cost

    def add(self, other: "Group") -> None:
        """Add another group."""
        self.add_sums(other.sums)
        self.latencies.update(other.latencies)
        self.has_all_latencies &= other.has_all_latencies
        if other.cost is not None:
            self.add_cost(other.cost)
        self.unpriced += other.unpriced

    def percentile(self, share: float) -> float | None:
        """Return the latency, milliseconds, that this share kept to; None: nobody knows."""
        return percentile(self.latencies, share) if self.has_all_latencies else None
