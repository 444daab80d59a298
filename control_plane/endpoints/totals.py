"""The sum of what all workers have counted for one endpoint: pure.

Before: `metrics`, which knows a report that comes twice. Counts only ever grow; beside them are
kept the calls of the last minute.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson
from modelserving.worker.v1.metrics_service_pb2 import EndpointCounts, EntityCounts

from modelplane.adapters.shared.latency import BUCKETS

_SLOT_MS = 5_000
_SLOTS = 12
_MINUTE_SECONDS = 60


@dataclass(slots=True)
class EntityTotals:
    """Counts of one served entity.

    Attributes:
        requests: Calls by HTTP status.
        latency: Calls by duration, for each bound of `LATENCY_BOUNDS_MS` and beyond.
        latency_sum_ms: Sum of the durations.
        input_tokens: Tokens of the prompts.
        output_tokens: Tokens of the answers.
    """

    requests: dict[str, int] = field(default_factory=dict)
    latency: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    latency_sum_ms: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, counts: EntityCounts) -> None:
        """Add what a worker counted."""
        for status, calls in counts.requests.items():
            self.requests[str(status)] = self.requests.get(str(status), 0) + calls
        for place, calls in enumerate(counts.latency_buckets[:BUCKETS]):
            self.latency[place] += calls
        self.latency_sum_ms += counts.latency_sum_ms
        self.input_tokens += counts.input_tokens
        self.output_tokens += counts.output_tokens


@dataclass(slots=True)
class Recent:
    """Calls within a short time."""

    requests: int = 0
    client_errors: int = 0
    server_errors: int = 0

    def count(self, status: int, calls: int) -> None:
        """Count calls by the class of their status."""
        self.requests += calls
        self.client_errors += calls * (status // 100 == 4)  # noqa: PLR2004 - 4xx
        self.server_errors += calls * (status // 100 == 5)  # noqa: PLR2004 - 5xx


@dataclass(slots=True)
class Totals:
    """Counts of one endpoint.

    Attributes:
        entities: Counts by served entity.
        slots: Recent calls by the time of the report, in steps of five seconds, and served entity.
        tokens: Recent tokens in the same way; by themselves, since an older release reads `slots`.
    """

    entities: dict[str, EntityTotals] = field(default_factory=dict)
    slots: dict[str, dict[str, Recent]] = field(default_factory=dict)
    tokens: dict[str, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Totals":
        """Return the totals that `encode` wrote."""
        value = orjson.loads(text)
        return cls(
            {name: EntityTotals(**item) for name, item in value.get("entities", {}).items()},
            {
                slot: {name: Recent(**item) for name, item in recent.items()}
                for slot, recent in value.get("slots", {}).items()
            },
            value.get("tokens", {}),
        )

    def encode(self) -> str:
        """Return the totals as JSON."""
        return orjson.dumps(self).decode()

    def add(self, counts: EndpointCounts, now_ms: int) -> None:
        """Add what a worker counted."""
        slot = str(now_ms // _SLOT_MS)
        recent, tokens = self.slots.setdefault(slot, {}), self.tokens.setdefault(slot, {})
        for entity in counts.entities:
            name = entity.served_entity_name
            self.entities.setdefault(name, EntityTotals()).add(entity)
            if used := entity.input_tokens + entity.output_tokens:
                tokens[name] = tokens.get(name, 0) + used
            for status, calls in entity.requests.items():
                recent.setdefault(name, Recent()).count(status, calls)
        self._prune(now_ms)

    def last_minute(self, now_ms: int) -> dict[str, Recent]:
        """Return the calls reported within the last minute, by served entity."""
        total: dict[str, Recent] = {}
        for slot in self._fresh(now_ms):
            for name, recent in self.slots[slot].items():
                sums = total.setdefault(name, Recent())
                sums.requests += recent.requests
                sums.client_errors += recent.client_errors
                sums.server_errors += recent.server_errors
        return total

    def tokens_per_second(self, now_ms: int) -> dict[str, float]:
        """Return the tokens reported within the last minute, for each second of it."""
        total: dict[str, int] = {}
        for slot in self._fresh(now_ms):
            for name, tokens in self.tokens.get(slot, {}).items():
                total[name] = total.get(name, 0) + tokens
        return {name: tokens / _MINUTE_SECONDS for name, tokens in total.items()}

    def _fresh(self, now_ms: int) -> Iterator[str]:
        newest = now_ms // _SLOT_MS
        # A replica's clock may be a little ahead; one that was far ahead was set back since.
        return (slot for slot in self.slots if newest - _SLOTS < int(slot) <= newest + 1)

    def _prune(self, now_ms: int) -> None:
        fresh = set(self._fresh(now_ms))
        self.slots = {slot: recent for slot, recent in self.slots.items() if slot in fresh}
        self.tokens = {slot: tokens for slot, tokens in self.tokens.items() if slot in fresh}
