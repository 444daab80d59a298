"""Alternating rounds, and what a load is found to have cost."""

import asyncio
import math
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from bench.http_client import HttpConnection, build_request
from bench.load import LoadResult
from bench.mock_provider import Counts, StreamShape
from bench.processes import cpu_seconds
from bench.provider import running_provider
from bench.rounds import PROVIDER, Sample, Spread, alternate, sample, spread_of

LOAD = LoadResult(2.0, 100, failures=0, p50=0.001, p99=0.002, p99_9=0.003)
# Works for a while once it is told to, and ends once it is told so.
_BURN = """
import time
input()
end = time.process_time() + 0.2
while time.process_time() < end:
    pass
input()
"""


async def test_another_system_begins_each_round() -> None:
    order: list[str] = []

    async def measure(system: str) -> int:
        order.append(system)
        return len(order)

    measured = await alternate("abc", 4, measure)
    assert "".join(order) == "abcbcacababc"
    assert measured == [[1, 6, 8, 10], [2, 4, 9, 11], [3, 5, 7, 12]]
    assert await alternate("", 2, measure) == []


def test_rounds_come_to_a_median_and_a_range() -> None:
    assert spread_of([3.0, 1.0, 7.0]) == Spread(median=3.0, least=1.0, most=7.0)


def test_cost_is_told_by_what_arrived_at_the_provider() -> None:
    used = {"a": 0.01, "b": 0.02, PROVIDER: 0.5}
    asked = Sample(LOAD, used, Counts(requests=150, chunks=3000), others=0.0)
    assert asked.micros("request", "a") == pytest.approx(0.01e6 / 150)
    assert asked.micros("chunk", "a", "b") == pytest.approx(10)
    assert asked.micros("request", "absent") == 0
    # A system that asks no provider.
    alone = Sample(LOAD, used, Counts(), others=0.0)
    assert alone.micros("answer", "a") == pytest.approx(100)
    assert math.isnan(alone.micros("request", "a"))


async def test_a_sample_has_the_cpu_time_of_each_group_and_what_the_provider_answered(
    tmp_path: Path,
) -> None:
    burning = await asyncio.create_subprocess_exec(sys.executable, "-c", _BURN, stdin=PIPE)
    async with running_provider(tmp_path, StreamShape(chunks=3)) as provider:

        async def load() -> LoadResult:
            connection = await HttpConnection.open(provider.url)
            for _ in range(5):
                await connection.request(build_request("POST", provider.url, body={}))
            await connection.aclose()
            assert burning.stdin
            used = cpu_seconds(burning.pid)
            burning.stdin.write(b"\n")
            while cpu_seconds(burning.pid) < used + 0.2:
                await asyncio.sleep(0.01)
            return LOAD

        found = await sample(load(), {"burning": [burning.pid], "none": []}, provider)
    await burning.communicate(b"\n")
    assert found.load is LOAD
    assert found.served.requests == 5
    assert set(found.cpu_seconds) == {"burning", "none", PROVIDER}
    assert found.cpu_seconds["burning"] > 0.1
    assert found.cpu_seconds[PROVIDER] > 0


async def test_a_process_that_ends_under_the_load_ends_no_sample(tmp_path: Path) -> None:
    burning = await asyncio.create_subprocess_exec(sys.executable, "-c", _BURN, stdin=PIPE)
    async with running_provider(tmp_path, StreamShape(chunks=3)) as provider:

        async def load() -> LoadResult:
            assert burning.stdin
            burning.stdin.write(b"\n")
            while cpu_seconds(burning.pid) < 0.2:
                await asyncio.sleep(0.01)
            await burning.communicate(b"\n")
            return LOAD

        found = await sample(load(), {"burning": [burning.pid]}, provider)
    assert burning.returncode == 0
    # How much it is depends on when it was looked at last.
    assert found.cpu_seconds["burning"] >= 0
