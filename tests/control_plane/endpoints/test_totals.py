from modelserving.launcher.v1.launcher_service_pb2 import EngineFigures
from modelserving.worker.v1.metrics_service_pb2 import EndpointCounts, EntityCounts

from modelplane.adapters.shared.latency import BUCKETS
from modelplane.control_plane.endpoints.totals import (
    MAX_ENTITIES,
    MAX_NEW_NAMES,
    EngineTotals,
    Recent,
    Totals,
)

NOW = 1_700_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE


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


def figures(running: int = 0, usage: float = 0.0, prompt: int = 0, hits: int = 0) -> EngineFigures:
    return EngineFigures(
        requests_running=running,
        kv_cache_usage=usage,
        prompt_tokens=prompt,
        generation_tokens=2 * prompt,
        prefix_cache_queries=prompt,
        prefix_cache_hits=hits,
    )


def test_what_engines_say_is_added_up_and_counts_once() -> None:
    engine = EngineTotals()
    engine.note({"a": figures(1, 0.5, 100, 10), "b": figures(2, 0.1, 10)}, NOW)
    assert (engine.running, engine.usage) == (3, 0.3)
    assert engine.counts == [110, 220, 110, 10]
    engine.note({"a": figures(prompt=150, hits=10), "b": figures(prompt=10)}, NOW)
    assert engine.counts == [160, 320, 160, 10]
    # One ends, another begins: what the first one did stays.
    engine.note({"b": figures(prompt=10), "c": figures(prompt=7)}, NOW)
    assert engine.counts == [167, 334, 167, 10]
    # One that was silent says again what it has done since it started.
    engine.note({"a": figures(prompt=151, hits=10)}, NOW)
    assert engine.counts == [168, 336, 168, 10]
    assert (engine.running, engine.usage) == (0, 0.0)
    engine.note({}, NOW + 1)
    assert engine.counts == [168, 336, 168, 10]
    assert engine.is_fresh(NOW + MINUTE)
    assert not engine.is_fresh(NOW + 1 + MINUTE)


def test_what_is_kept_of_replicas_has_a_bound_and_what_they_say_too() -> None:
    engine = EngineTotals()
    for number in range(200):
        engine.note({f"r{number}": figures(prompt=1)}, NOW)
    assert engine.counts[0] == 200
    assert len(engine.replicas) == 64
    engine.note({"liar": figures(-5, float("nan"), -9, -9), "other": figures(usage=7.0)}, NOW)
    assert (engine.running, engine.usage, engine.counts[0]) == (0, 0.5, 200)
    for _ in range(3):
        engine.note({"liar": EngineFigures(generation_tokens=2**63 - 1)}, NOW)
        engine.note({"liar": EngineFigures()}, NOW)
    totals = Totals(engines={"gpt": engine})
    assert Totals.parse(totals.encode()) == totals


def test_entities_that_are_renamed_again_and_again_are_counted_without_a_name() -> None:
    totals = Totals()
    for number in range(3 * MAX_NEW_NAMES):
        counts = report(entity=f"entity-{number}", _200=1)
        counts.entities[0].first_chunk_buckets.extend([1] * BUCKETS)
        totals.admit(counts, NOW)
        totals.add(counts, NOW)
        totals = Totals.parse(totals.encode())
    assert len(totals.entities) == MAX_NEW_NAMES + 1
    assert totals.entities[""].requests == {"200": 2 * MAX_NEW_NAMES}
    # Those that are known go on, and the next hour has names of its own.
    for name, now_ms in (("entity-0", NOW), ("new", NOW + HOUR)):
        counts = report(entity=name, _200=1)
        totals.admit(counts, now_ms)
        totals.add(counts, now_ms)
        assert totals.entities[name].requests["200"] == 1 + (name == "entity-0")


def test_entities_are_known_that_were_asked_last() -> None:
    totals = Totals()
    for number in range(2 * MAX_ENTITIES):
        for name in ("always", f"entity-{number}"):
            counts = report(entity=name, _200=1)
            counts.entities[0].first_chunk_buckets.extend([1] * BUCKETS)
            totals.add(counts, NOW)
        totals.note_engines({f"entity-{number}": {"r": figures(prompt=1)}}, NOW)
        totals = Totals.parse(totals.encode())
    assert len(totals.entities) == len(totals.first_chunks) == len(totals.engines) == MAX_ENTITIES
    assert totals.entities["always"].requests == {"200": 2 * MAX_ENTITIES}
    assert f"entity-{2 * MAX_ENTITIES - 1}" in totals.engines
