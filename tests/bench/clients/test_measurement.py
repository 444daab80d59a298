"""What is made of the rounds of each client."""

import math

from bench.clients.measurement import CASES, CLIENTS, FLOOR, Case, Sample, rows_of
from bench.clients.with_nothing import CHUNKS
from bench.load import LoadResult

WHOLE = Case("whole", "/whole", "hello")
STREAM = Case("stream", "/stream", "hello")


def sample(cpu_seconds: float, *, requests: int = 100, failures: int = 0) -> Sample:
    load = LoadResult(2.0, requests, failures, p50=0.02, p99=0.03, p99_9=0.04)
    return Sample(cpu_seconds, 1, load)


def test_the_floor_is_taken_off_within_each_round() -> None:
    # The machine is slower by half in the second round.
    samples = {
        FLOOR: [sample(0.010), sample(0.015), sample(0.010)],
        "one": [sample(0.015), sample(0.0225), sample(0.014, failures=2)],
    }
    floor, one = rows_of(WHOLE, 16, samples)
    assert floor[:5] == [FLOOR, "whole", "16", 100.0, "request"]
    assert floor[5:8] == [0.0, 0.0, 0.0]
    assert one[:5] == ["one", "whole", "16", 150.0, "request"]
    assert [round(float(cell)) for cell in one[5:8]] == [50, 40, 75]
    assert one[8:] == [50.0, 30.0, "2"]


def test_cpu_time_of_a_stream_is_told_for_each_chunk() -> None:
    assert round(sample(0.1).micros(WHOLE)) == 1000
    assert round(sample(0.1).micros(STREAM)) == 1000 / CHUNKS
    # Some more were under way when the load ended.
    assert round(sample(0.1, requests=90).micros(STREAM)) == 1000 / CHUNKS
    assert math.isnan(sample(0.1, requests=0).micros(STREAM))


def test_each_case_asks_for_what_it_is_called() -> None:
    for case in CASES:
        message = case.request("http://127.0.0.1:1", "http://127.0.0.1:2").message
        assert message.startswith(f"POST {case.path} ".encode())
        assert b"x-target: http://127.0.0.1:2/v1/chat/completions\r\n" in message
        assert (b'"stream": true' in message) is (case.per == "chunk")
        assert (len(message) > 100_000) is ("100 kB" in case.name)


def test_the_floor_is_no_client() -> None:
    assert FLOOR not in CLIENTS
