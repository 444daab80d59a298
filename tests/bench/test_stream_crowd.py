"""What is made of the arrivals of many streams."""

import pytest

from bench.stream_crowd import gaps_of, short_name


def test_gaps_are_those_within_each_stream() -> None:
    gaps = gaps_of([[0.0, 1.0, 4.0], [10.0, 12.0], []], failures=1)
    assert gaps.seconds == [1.0, 2.0, 3.0]
    assert gaps.largest == [2.0, 3.0]
    assert gaps.failures == 1


@pytest.mark.parametrize(
    ("command_line", "name"),
    [
        ("/x/bin/python bin/modelplane up --port 1", "modelplane up"),
        ("/x/bin/python3 -P -m modelplane control-plane", "modelplane control-plane"),
        ("/x/envoy --config-path /y/worker-1.json", "envoy"),
    ],
)
def test_processes_are_named_by_what_they_do(command_line: str, name: str) -> None:
    assert short_name(command_line) == name
