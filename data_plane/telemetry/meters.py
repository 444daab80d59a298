"""What this worker has counted for each endpoint since it last told the control plane.

`accounting.py` counts; `metrics_reporter.py` takes what was counted and sends it.
"""

from bisect import bisect_left
from dataclasses import dataclass, field

from modelserving.worker.v1.metrics_service_pb2 import (
    EndpointCounts,
    EntityCounts,
    LimitRefusals,
)

from modelplane.adapters.providers.types import Usage
from modelplane.adapters.shared.latency import BUCKETS, LATENCY_BOUNDS_MS
from modelplane.data_plane.snapshots.limits import Rule


@dataclass(slots=True)
class _Meter:
    """Counts of one served entity."""

    requests: dict[int, int] = field(default_factory=dict)
    latency: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    latency_sum_ms: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    # Empty without streams, which most entities have none of or only.
    first_chunk: list[int] = field(default_factory=list)


class Meters:
    """Counts the calls of endpoints."""

    def __init__(self) -> None:
        self._meters: dict[tuple[str, str], _Meter] = {}
        self._in_flight: dict[str, int] = {}
        # By the limit's kind, whom it names and its unit, which are as few as an endpoint's limits.
        self._refusals: dict[str, dict[tuple[str, str, str], int]] = {}
        # Endpoints of which the last report said that queries are being answered.
        self._told: set[str] = set()

    def begin(self, endpoint_id: str) -> None:
        """Count a query that is going to be answered."""
        self._in_flight[endpoint_id] = self._in_flight.get(endpoint_id, 0) + 1

    def end(self, endpoint_id: str) -> None:
        """Note that such a query has ended."""
        left = self._in_flight[endpoint_id] - 1
        if left:
            self._in_flight[endpoint_id] = left
        else:
            del self._in_flight[endpoint_id]

    def refuse(self, endpoint_id: str, rule: Rule) -> None:
        """Count a query that a limit refused."""
        refusals = self._refusals.setdefault(endpoint_id, {})
        key = rule.scope.value, rule.principal, rule.unit.value
        refusals[key] = refusals.get(key, 0) + 1

    def observe(
        self,
        endpoint_id: str,
        entity: str,
        status: int,
        seconds: float,
        usage: Usage | None,
        first_chunk: float | None = None,
    ) -> None:
        """Count a call that ended.

        Args:
            endpoint_id: Identifier of the endpoint.
            entity: Name of the served entity; empty where none was asked.
            status: HTTP status that the caller saw.
            seconds: Duration of the call.
            usage: Tokens that it used, as far as they are known.
            first_chunk: Seconds until the first chunk of its stream; None: it had none.
        """
        key = (endpoint_id, entity)
        meter = self._meters.get(key)
        if meter is None:
            meter = self._meters[key] = _Meter()
        meter.requests[status] = meter.requests.get(status, 0) + 1
        milliseconds = seconds * 1000
        meter.latency[bisect_left(LATENCY_BOUNDS_MS, milliseconds)] += 1
        meter.latency_sum_ms += milliseconds
        if usage is not None:
            meter.input_tokens += usage.input_tokens or 0
            meter.output_tokens += usage.output_tokens or 0
        if first_chunk is not None:
            if not meter.first_chunk:
                meter.first_chunk = [0] * BUCKETS
            meter.first_chunk[bisect_left(LATENCY_BOUNDS_MS, first_chunk * 1000)] += 1

    def take(self) -> list[EndpointCounts]:
        """Return what was counted since the last call, and begin anew."""
        meters, self._meters = self._meters, {}
        refusals, self._refusals = self._refusals, {}
        told, self._told = self._told, set(self._in_flight)
        counts = {
            endpoint_id: EndpointCounts(
                endpoint_id=endpoint_id, in_flight=self._in_flight.get(endpoint_id, 0)
            )
            for endpoint_id in {key[0] for key in meters} | told | self._told | set(refusals)
        }
        for (endpoint_id, entity), meter in meters.items():
            counts[endpoint_id].entities.append(_pack(entity, meter))
        for endpoint_id, by_limit in refusals.items():
            counts[endpoint_id].refusals.extend(
                LimitRefusals(key=key, principal=principal, unit=unit, count=count)
                for (key, principal, unit), count in by_limit.items()
            )
        return list(counts.values())


def _pack(entity: str, meter: _Meter) -> EntityCounts:
    return EntityCounts(
        served_entity_name=entity,
        requests=meter.requests,
        latency_buckets=meter.latency,
        latency_sum_ms=meter.latency_sum_ms,
        input_tokens=meter.input_tokens,
        output_tokens=meter.output_tokens,
        first_chunk_buckets=meter.first_chunk,
    )
