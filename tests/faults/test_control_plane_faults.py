"""The control plane is killed under load, with creations under way."""

import asyncio
import itertools

from bench.system import System
from tests.faults.deployment import (
    PATH,
    create,
    kill,
    query_worker,
    until,
    update_and_wait,
)
from tests.faults.traffic import constant_traffic


async def test_killed_control_plane_costs_no_request_and_no_endpoint(
    system: System, endpoint: str, provider_url: str
) -> None:
    victim = system.control_plane
    committed: list[str] = []
    async with constant_traffic(system, endpoint, rate=60) as traffic:
        await update_and_wait(system, provider_url, traffic, 2)
        creating = asyncio.create_task(_create_endpoints(system, provider_url, committed))
        await until(lambda: _has(committed, 5))
        kill(victim)
        before = len(committed)
        await traffic.wait_for(30)
        await until(lambda: _has(committed, before + 5))
        creating.cancel()
        await update_and_wait(system, provider_url, traffic, 3)
        for worker in system.workers:
            assert await query_worker(worker.grpc, endpoint) == 3
            assert await query_worker(worker.grpc, committed[-1]) == 1
        await traffic.wait_for(30)
    assert traffic.failures() == []
    assert traffic.stale() == []
    assert system.control_plane.pid != victim.pid
    listed = await system.call("GET", PATH)
    assert {*committed, endpoint} <= {item["name"] for item in listed.body["endpoints"]}


async def _create_endpoints(system: System, provider_url: str, committed: list[str]) -> None:
    for number in itertools.count():
        name = f"created-{number}"
        try:
            answer = await create(system, provider_url, name)
        except OSError:
            # Envoy lost the call with the control plane: whether it was committed is unknown.
            continue
        if answer.status == 200:
            committed.append(name)
        else:
            assert answer.status == 503, answer
            assert answer.body["error_code"] == "TEMPORARILY_UNAVAILABLE"
            await asyncio.sleep(0.1)


async def _has(items: list[str], count: int) -> bool:
    return len(items) >= count
