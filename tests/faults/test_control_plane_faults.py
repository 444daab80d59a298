"""The control plane is killed under load, with creations under way."""

from bench.system import System
from tests.faults.deployment import (
    PATH,
    constant_creation,
    kill,
    query_worker,
    update_and_wait,
    worker_address,
)
from tests.faults.traffic import constant_traffic


async def test_killed_control_plane_costs_no_request_and_no_endpoint(
    system: System, endpoint: str, provider_url: str
) -> None:
    victim = system.control_plane
    async with constant_traffic(system, endpoint, rate=60) as traffic:
        await update_and_wait(system, provider_url, traffic, 2)
        async with constant_creation(system, provider_url) as creation:
            await creation.wait_for(5)
            kill(victim)
            await traffic.wait_for(30)
            await creation.wait_for(5)
        await update_and_wait(system, provider_url, traffic, 3)
        for worker in system.workers:
            address = worker_address(system, worker.name)
            assert await query_worker(address, endpoint) == 3
            assert await query_worker(address, creation.committed[-1]) == 1
        await traffic.wait_for(30)
    assert traffic.failures() == []
    assert traffic.stale() == []
    assert system.control_plane.pid != victim.pid
    listed = await system.call("GET", PATH)
    assert {*creation.committed, endpoint} <= {item["name"] for item in listed.body["endpoints"]}
