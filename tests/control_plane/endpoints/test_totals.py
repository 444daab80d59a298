from modelserving.worker.v1.metrics_service_pb2 import EndpointCounts, EntityCounts

from modelplane.adapters.shared.latency import BUCKETS
from modelplane.control_plane.endpoints.totals import Recent, Totals

NOW = 1_700_000_000_000
MINUTE = 60_000


def report(in_flight: int = 0, entity: str = "gpt", **requests: int) -> EndpointCounts:
    """A report of calls by status, as `_200=3`; each took 7 milliseconds."""
    by_status = {int(name.removeprefix("_")): calls for name, calls in requests.items()}
    calls = sum(by_status.values())
    counts = EntityCounts(
        served_entity_name=entity,
        requests=by_status,
        latency_buckets=[0, calls] + [0] * (BUCKETS - 2),
        latency_sum_ms=7.0 * calls,
        input_tokens=10 * calls,
        output_tokens=calls,
    )
    return EndpointCounts(endpoint_id="id", in_flight=in_flight, entities=[counts] if calls else [])


def test_reports_of_all_workers_add_up() -> None:
    totals = Totals()
    totals.add(report(_200=3, _429=1), NOW)
    totals.add(report(_200=2, _503=1), NOW)
    gpt = totals.entities["gpt"]
    assert gpt.requests == {"200": 5, "429": 1, "503": 1}
    assert (gpt.latency[1], gpt.latency_sum_ms) == (7, 49.0)
    assert (gpt.input_tokens, gpt.output_tokens) == (70, 7)
    assert totals.last_minute(NOW) == {"gpt": Recent(7, 1, 1)}


def test_totals_survive_storage() -> None:
    totals = Totals()
    totals.add(report(2, _200=3), NOW)
    totals.add(report(1, entity="", _404=3), NOW + 5_000)
    assert Totals.parse(totals.encode()) == totals
    assert Totals.parse("{}") == Totals()


def test_the_last_minute_passes_and_the_totals_stay() -> None:
    totals = Totals()
    totals.add(report(_200=1), NOW)
    totals.add(report(_200=1), NOW + MINUTE // 2)
    assert totals.last_minute(NOW + MINUTE // 2) == {"gpt": Recent(2)}
    assert totals.last_minute(NOW + MINUTE) == {"gpt": Recent(1)}
    assert totals.last_minute(NOW + 2 * MINUTE) == {}
    totals.add(report(_200=1), NOW + 2 * MINUTE)
    assert totals.entities["gpt"].requests == {"200": 3}
    assert len(totals.slots) == 1


def test_the_tokens_of_the_last_minute_are_told_by_the_second() -> None:
    totals = Totals()
    totals.add(report(_200=3), NOW)
    totals.add(report(_200=3), NOW + MINUTE // 2)
    assert totals.tokens_per_second(NOW + MINUTE // 2) == {"gpt": 1.1}
    assert Totals.parse(totals.encode()) == totals
    assert totals.tokens_per_second(NOW + 2 * MINUTE) == {}
    totals.add(report(_200=1), NOW + 2 * MINUTE)
    assert len(totals.tokens) == 1


def test_a_clock_that_is_set_back_leaves_no_calls_of_the_future() -> None:
    totals = Totals()
    totals.add(report(_200=1), NOW)
    assert totals.last_minute(NOW - 60 * MINUTE) == {}
    totals.add(report(_200=1), NOW - 60 * MINUTE)
    assert totals.last_minute(NOW - 60 * MINUTE) == {"gpt": Recent(1)}
    assert len(totals.slots) == 1
