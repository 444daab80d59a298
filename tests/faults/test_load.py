"""A configuration changes under constant traffic: nothing fails, and nothing is stale."""

from bench.system import System
from tests.effort import times
from tests.faults.deployment import update_and_wait
from tests.faults.traffic import constant_traffic

NEWEST = times(16, 51)


async def test_many_updates_under_load(system: System, endpoint: str, provider_url: str) -> None:
    async with constant_traffic(system, endpoint, rate=60) as traffic:
        for version in range(2, NEWEST + 1):
            await update_and_wait(system, provider_url, traffic, version)
            await traffic.wait_for(10)
    assert traffic.failures() == []
    assert traffic.stale() == []
    assert traffic.outcomes[-1].served_version == NEWEST
    assert any(outcome.streamed for outcome in traffic.outcomes)
