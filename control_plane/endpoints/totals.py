"""The sum of what all workers have counted for one endpoint: pure.

Before: `metrics`, which knows a report that comes twice. Counts only ever grow; beside them are
kept the calls of the last minute.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add

import orjson
from modelserving.launcher.v1.launcher_service_pb2 import EngineFigures
from modelserving.worker.v1.metrics_service_pb2 import (
    EndpointCounts,
    EntityCounts,
    LimitRefusals,
)

from modelplane.adapters.shared.latency import BUCKETS

SLOT_MS = 5_000
_SLOTS = 12
_MINUTE_SECONDS = 60
_MINUTE_MS = 60_000
ENGINE_COUNTS = ("prompt_tokens", "generation_tokens", "prefix_cache_queries", "prefix_cache_hits")
# Figures come at least every half a minute.
_FRESH_MS = 60_000
_REMEMBERED = 64
# Served entities whose counts an endpoint has: those that were asked last, of which so many have
# names that are new in an hour, those of four whole configurations. Without a bound, whoever
# renames them again and again makes totals that are read and written whole with each report.
MAX_ENTITIES = 100
MAX_NEW_NAMES = 60
_HOUR_MS = 3_600_000
# An endpoint has at most 20 limits, each on two units; those that it had before are told a while.
_LIMITS = 100
_MOST = 2**63 - 1


def limit_name(key: str, principal: str, unit: str) -> str:
    """Return what tells a limit from the others of its endpoint.

    Args:
        key: Whose use it counts.
        principal: Whom it names, in small letters; empty: nobody.
        unit: `requests` or `tokens`.
    """
    return f"{key} {unit} {principal}"


def _add_up(sums: Sequence[int], more: Sequence[int]) -> list[int]:
    """Return the sums with those of a worker added, maybe of a release with other buckets."""
    if len(more) != len(sums):
        more = [*more, *[0] * BUCKETS]
    return list(map(add, sums, more))


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
        self.latency = _add_up(self.latency, counts.latency_buckets)
        self.latency_sum_ms += counts.latency_sum_ms
        self.input_tokens += counts.input_tokens
        self.output_tokens += counts.output_tokens


@dataclass(slots=True)
class EngineTotals:
    """What the engines of one served entity say of themselves.

    Attributes:
        at_ms: When they said it last.
        running: Requests that they work on.
        waiting: Requests that they have and do not work on yet.
        usage: Share of their room for keys and values that is used, on average.
        counts: Of tokens, for each of `ENGINE_COUNTS`, over all replicas that there ever were.
        replicas: What each replica has told last of them, those last that were heard of last.
    """

    at_ms: int = 0
    running: int = 0
    waiting: int = 0
    usage: float = 0.0
    counts: list[int] = field(default_factory=lambda: [0] * len(ENGINE_COUNTS))
    replicas: dict[str, list[int]] = field(default_factory=dict)

    def note(self, told: Mapping[str, EngineFigures], now_ms: int) -> None:
        """Take what each replica says, by its identifier; nothing counts twice."""
        self.at_ms = now_ms
        self.running = sum(max(0, one.requests_running) for one in told.values())
        self.waiting = sum(max(0, one.requests_waiting) for one in told.values())
        shares = [min(1.0, max(0.0, one.kv_cache_usage)) for one in told.values()]
        self.usage = sum(shares) / len(shares) if shares else 0.0
        for replica, figures in told.items():
            before = self.replicas.pop(replica, [0] * len(ENGINE_COUNTS))
            now = [max(0, getattr(figures, name)) for name in ENGINE_COUNTS]
            grown = [max(0, new - old) for new, old in zip(now, before, strict=True)]
            added = zip(self.counts, grown, strict=True)
            # A model may say anything, and what has no room in JSON could not be stored.
            self.counts = [min(_MOST, before + more) for before, more in added]
            self.replicas[replica] = now
        # One that was silent for a while is known again; of most it is told for the last time.
        for gone in list(self.replicas)[: -max(_REMEMBERED, len(told))]:
            del self.replicas[gone]

    def is_fresh(self, now_ms: int) -> bool:
        """Tell whether what they do now is known."""
        return abs(now_ms - self.at_ms) < _FRESH_MS


@dataclass(slots=True)
class Refusals:
    """Queries that one limit has refused.

    Attributes:
        total: All of them.
        minute: Minute of the last ones, since the epoch.
        in_minute: How many in it.
    """

    total: int = 0
    minute: int = 0
    in_minute: int = 0

    def add(self, count: int, now_ms: int) -> None:
        """Count refusals of now."""
        minute = now_ms // _MINUTE_MS
        self.total += count
        self.in_minute = count + (self.in_minute if self.minute == minute else 0)
        self.minute = minute

    def now(self, now_ms: int) -> int:
        """Return how many there were in the minute that it is."""
        return self.in_minute if self.minute == now_ms // _MINUTE_MS else 0


@dataclass(slots=True)
class Recent:
    """Calls within a short time."""

    requests: int = 0
    client_errors: int = 0
    server_errors: int = 0


_NO_CALLS = {"requests": 0, "client_errors": 0, "server_errors": 0}
# Where calls are counted beside, by the class of their status.
_ERRORS = {4: "client_errors", 5: "server_errors"}


@dataclass(slots=True)
class Totals:
    """Counts of one endpoint.

    Attributes:
        entities: Counts by served entity.
        slots: Recent calls by the time of the report, in steps of five seconds, and served entity:
            the fields of `Recent`, of which most are not looked at when one is added.
        tokens: Recent tokens in the same way; by themselves, since an older release reads `slots`.
        engines: What engines say of themselves, by served entity.
        first_chunks: Streams by the time to their first chunk, as `latency`, by served entity.
        refusals: Of each limit; see `limit_name`.
        new_names: The hour, since the epoch, in which an entity last had a name that was not known,
            and how many had in it.
    """

    entities: dict[str, EntityTotals] = field(default_factory=dict)
    slots: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    tokens: dict[str, dict[str, int]] = field(default_factory=dict)
    engines: dict[str, EngineTotals] = field(default_factory=dict)
    first_chunks: dict[str, list[int]] = field(default_factory=dict)
    refusals: dict[str, Refusals] = field(default_factory=dict)
    new_names: list[int] = field(default_factory=lambda: [0, 0])

    @classmethod
    def parse(cls, text: str) -> "Totals":
        """Return the totals that `encode` wrote."""
        value = orjson.loads(text)
        return cls(
            {name: EntityTotals(**item) for name, item in value.get("entities", {}).items()},
            value.get("slots", {}),
            value.get("tokens", {}),
            {name: EngineTotals(**item) for name, item in value.get("engines", {}).items()},
            value.get("first_chunks", {}),
            {name: Refusals(**item) for name, item in value.get("refusals", {}).items()},
            value.get("new_names", [0, 0]),
        )

    def encode(self) -> str:
        """Return the totals as JSON."""
        return orjson.dumps(self).decode()

    def admit(self, counts: EndpointCounts, now_ms: int) -> None:
        """Take the names from entities with new ones, beyond those that an hour may have.

        Call it before `add`, with the same.
        """
        hour = now_ms // _HOUR_MS
        for entity in counts.entities:
            if not entity.served_entity_name or entity.served_entity_name in self.entities:
                continue
            names = self.new_names[1] if self.new_names[0] == hour else 0
            if names < MAX_NEW_NAMES:
                self.new_names = [hour, names + 1]
            else:
                entity.served_entity_name = ""

    def add(self, counts: EndpointCounts, now_ms: int) -> None:
        """Add what a worker counted."""
        slot = str(now_ms // SLOT_MS)
        recent, tokens = self.slots.setdefault(slot, {}), self.tokens.setdefault(slot, {})
        for entity in counts.entities:
            name = entity.served_entity_name
            totals = self.entities.pop(name, None) or EntityTotals()
            totals.add(entity)
            self.entities[name] = totals
            if used := entity.input_tokens + entity.output_tokens:
                tokens[name] = tokens.get(name, 0) + used
            for status, calls in entity.requests.items():
                sums = recent.setdefault(name, dict(_NO_CALLS))
                sums["requests"] += calls
                if kind := _ERRORS.get(status // 100):
                    sums[kind] += calls
            if entity.first_chunk_buckets:
                before = self.first_chunks.get(name, [0] * BUCKETS)
                self.first_chunks[name] = _add_up(before, entity.first_chunk_buckets)
        if counts.refusals:
            self._refuse(counts.refusals, now_ms)
        for gone in list(self.entities)[:-MAX_ENTITIES]:
            del self.entities[gone]
            self.first_chunks.pop(gone, None)
        self._prune(now_ms)

    def note_engines(self, told: Mapping[str, Mapping[str, EngineFigures]], now_ms: int) -> None:
        """Take what engines say of themselves, by served entity and replica."""
        for name, replicas in told.items():
            engines = self.engines.pop(name, None) or EngineTotals()
            engines.note(replicas, now_ms)
            self.engines[name] = engines
        for gone in list(self.engines)[:-MAX_ENTITIES]:
            del self.engines[gone]

    def is_ahead(self, now_ms: int) -> bool:
        """Tell whether calls came at a time that is still to come: a clock was set back since."""
        return any(int(slot) > now_ms // SLOT_MS + 1 for slot in self.slots)

    def last_step(self, entity: str) -> int:
        """Return the last slot in which a served entity was asked, if that is within a minute."""
        # Those last that came last, but for replicas whose clocks differ.
        for slot in reversed(self.slots):
            if entity in self.slots[slot]:
                return int(slot)
        return 0

    def last_minute(self, now_ms: int) -> dict[str, Recent]:
        """Return the calls reported within the last minute, by served entity."""
        total: dict[str, Recent] = {}
        for slot in self._fresh(now_ms):
            for name, recent in self.slots[slot].items():
                sums = total.setdefault(name, Recent())
                sums.requests += recent["requests"]
                sums.client_errors += recent["client_errors"]
                sums.server_errors += recent["server_errors"]
        return total

    def tokens_per_second(self, now_ms: int) -> dict[str, float]:
        """Return the tokens reported within the last minute, for each second of it."""
        total: dict[str, int] = {}
        for slot in self._fresh(now_ms):
            for name, tokens in self.tokens.get(slot, {}).items():
                total[name] = total.get(name, 0) + tokens
        return {name: tokens / _MINUTE_SECONDS for name, tokens in total.items()}

    def _refuse(self, refused: Iterable[LimitRefusals], now_ms: int) -> None:
        for one in refused:
            name = limit_name(one.key, one.principal, one.unit)
            # Those last that have refused last.
            refusals = self.refusals.pop(name, Refusals())
            refusals.add(one.count, now_ms)
            self.refusals[name] = refusals
        for gone in list(self.refusals)[:-_LIMITS]:
            del self.refusals[gone]

    def _fresh(self, now_ms: int) -> Iterator[str]:
        newest = now_ms // SLOT_MS
        # A replica's clock may be a little ahead; one that was far ahead was set back since.
        return (slot for slot in self.slots if newest - _SLOTS < int(slot) <= newest + 1)

    def _prune(self, now_ms: int) -> None:
        for gone in self.slots.keys() - set(self._fresh(now_ms)):
            del self.slots[gone]
            self.tokens.pop(gone, None)
