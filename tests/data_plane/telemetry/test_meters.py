from modelserving.worker.v1.metrics_service_pb2 import EndpointCounts

from modelplane.adapters.providers.types import Usage
from modelplane.adapters.shared.latency import BUCKETS, LATENCY_BOUNDS_MS
from modelplane.data_plane.snapshots.limits import Rule, Scope, Unit
from modelplane.data_plane.telemetry.meters import Meters


def by_endpoint(counts: list[EndpointCounts]) -> dict[str, EndpointCounts]:
    return {item.endpoint_id: item for item in counts}


def test_calls_are_counted_by_entity_status_and_duration() -> None:
    meters = Meters()
    meters.observe("a", "gpt", 200, 0.005, Usage(3, 4))
    meters.observe("a", "gpt", 200, 0.006, Usage(None, 1))
    meters.observe("a", "gpt", 429, 1_000, None)
    meters.observe("a", "", 404, 0, None)
    meters.observe("b", "claude", 200, 0.1, None)
    taken = by_endpoint(meters.take())
    assert set(taken) == {"a", "b"}
    entities = {item.served_entity_name: item for item in taken["a"].entities}
    assert set(entities) == {"gpt", ""}
    gpt = entities["gpt"]
    assert dict(gpt.requests) == {200: 2, 429: 1}
    assert list(gpt.latency_buckets) == [1, 1, *[0] * (BUCKETS - 3), 1]
    assert gpt.latency_sum_ms == 1_000_011
    assert (gpt.input_tokens, gpt.output_tokens) == (3, 5)


def test_streams_are_counted_by_the_time_to_their_first_chunk() -> None:
    meters = Meters()
    meters.observe("a", "gpt", 200, 9.0, None, 0.03)
    meters.observe("a", "gpt", 200, 9.0, None, 0.03)
    meters.observe("a", "whole", 200, 9.0, None)
    [taken] = meters.take()
    entities = {item.served_entity_name: list(item.first_chunk_buckets) for item in taken.entities}
    assert entities == {"gpt": [0, 0, 0, 2, *[0] * (BUCKETS - 4)], "whole": []}


def test_refusals_are_counted_by_limit_and_told_once() -> None:
    meters = Meters()
    rule = Rule(b"k", Unit.TOKENS, Scope.USER_GROUP, 10, "team")
    for _ in range(2):
        meters.refuse("a", rule)
    meters.refuse("a", Rule(b"l", Unit.REQUESTS, Scope.ENDPOINT, 10))
    [taken] = meters.take()
    told = [(one.key, one.principal, one.unit, one.count) for one in taken.refusals]
    assert told == [("user_group", "team", "tokens", 2), ("endpoint", "", "requests", 1)]
    assert meters.take() == []


def test_what_is_taken_is_not_there_again() -> None:
    meters = Meters()
    meters.observe("a", "gpt", 200, 0.1, None)
    assert len(meters.take()) == 1
    assert meters.take() == []


def test_queries_being_answered_are_told_until_there_are_none() -> None:
    meters = Meters()
    meters.begin("a")
    meters.begin("a")
    assert [item.in_flight for item in meters.take()] == [2]
    meters.end("a")
    assert [item.in_flight for item in meters.take()] == [1]
    assert [item.in_flight for item in meters.take()] == [1]
    meters.end("a")
    assert [item.in_flight for item in meters.take()] == [0]
    assert meters.take() == []


def test_the_bounds_of_the_buckets_grow() -> None:
    assert list(LATENCY_BOUNDS_MS) == sorted(set(LATENCY_BOUNDS_MS))
