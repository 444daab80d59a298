"""Envoy is killed under load, by itself and together with a worker."""

import time

import pytest

from bench.system import System
from tests.faults import deployment
from tests.faults.deployment import kill, until
from tests.faults.traffic import constant_traffic


@pytest.mark.parametrize("and_a_worker", [False, True], ids=["envoy", "envoy-and-worker"])
async def test_a_killed_envoy_fails_nothing_once_it_is_back(
    system: System, endpoint: str, *, and_a_worker: bool
) -> None:
    parts = [system.envoy, system.workers[0]] if and_a_worker else [system.envoy]
    before = {part.pid for part in parts}
    async with constant_traffic(system, endpoint, rate=60) as traffic:
        await traffic.wait_for(20)
        killed_at = time.monotonic()
        for part in parts:
            kill(part)

        async def is_back() -> bool:
            now = {system.envoy.pid, *(worker.pid for worker in system.workers)}
            return None not in now and not now & before and await deployment.all_healthy(system)

        await until(is_back)
        back_at = time.monotonic()
        await traffic.wait_for(60)
    failed = [outcome for outcome in traffic.outcomes if outcome.failure()]
    assert [one.describe() for one in failed if one.ended < killed_at or one.sent > back_at] == []
    assert traffic.stale() == []
