"""Which steps of a course begin with a report, and what had been counted before: pure.

Before: `metrics`, for each report, so that it has to cost next to nothing. After: `totals`.
"""

from collections.abc import Iterator

from modelserving.store.v1.series_pb2 import SeriesCounts
from modelserving.worker.v1.metrics_service_pb2 import EndpointCounts

from modelplane.control_plane.endpoints.totals import SLOT_MS, EntityTotals, Totals
from modelplane.control_plane.store.endpoints.series import (
    HOUR_SECONDS,
    LIVE_SECONDS,
    MINUTE_SECONDS,
    Opening,
)

_MINUTE_SLOTS = MINUTE_SECONDS * 1000 // SLOT_MS
_HOUR_SLOTS = HOUR_SECONDS * 1000 // SLOT_MS


def open_steps(
    totals: Totals, report: EndpointCounts, now_ms: int, *, live: bool
) -> Iterator[Opening]:
    """Yield the steps that a report begins, which is to be added to the totals afterwards.

    A step may be yielded again that has begun already: who was silent for a minute may have been
    asked in this hour.

    Args:
        totals: What was counted before.
        report: The report.
        now_ms: The time.
        live: Whether steps of five seconds are wanted.
    """
    slot = now_ms // SLOT_MS
    now = str(slot)
    asked_now = totals.slots.get(now, {})
    for told in report.entities:
        name = told.served_entity_name
        if name in asked_now:
            continue
        last = totals.last_step(name)
        steps = [(LIVE_SECONDS, slot)] if live else []
        if last // _MINUTE_SLOTS != slot // _MINUTE_SLOTS:
            steps.append((MINUTE_SECONDS, slot // _MINUTE_SLOTS))
        if last // _HOUR_SLOTS != slot // _HOUR_SLOTS:
            steps.append((HOUR_SECONDS, slot // _HOUR_SLOTS))
        if steps:
            counts = count_up(totals, name).SerializeToString()
            for seconds, step in steps:
                yield Opening(report.endpoint_id, seconds, step, name, counts)


def count_up(totals: Totals, entity: str) -> SeriesCounts:
    """Return what was counted of a served entity so far."""
    counted = totals.entities.get(entity, EntityTotals())
    by_class = {"4": 0, "5": 0}
    for status, calls in counted.requests.items():
        if status[0] in by_class:
            by_class[status[0]] += calls
    return SeriesCounts(
        requests=sum(counted.requests.values()),
        client_errors=by_class["4"],
        server_errors=by_class["5"],
        limited=counted.requests.get("429", 0),
        input_tokens=counted.input_tokens,
        output_tokens=counted.output_tokens,
        latency_buckets=counted.latency,
        first_chunk_buckets=totals.first_chunks.get(entity, ()),
    )
