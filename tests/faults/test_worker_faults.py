"""A worker is killed, or stopped, under load."""

import os
import signal
import time

from bench.system import System
from tests.faults import deployment
from tests.faults.deployment import (
    kill,
    query_worker,
    send,
    until,
    update,
    update_and_wait,
    worker_address,
)
from tests.faults.traffic import Traffic, constant_traffic


async def test_killed_worker_loses_only_what_it_was_answering(
    system: System, endpoint: str, provider_url: str
) -> None:
    victim = system.workers[0]
    address = worker_address(system, victim.name)
    async with constant_traffic(system, endpoint, rate=60) as traffic:
        await traffic.wait_for(20)
        killed_at = time.monotonic()
        kill(victim)
        await until(lambda: _is_gone(victim.pid))
        gone_at = time.monotonic()
        await traffic.wait_for(20)
        await update_and_wait(system, provider_url, traffic, 2)

        async def has_caught_up() -> bool:
            return await query_worker(address, endpoint) == 2

        await until(has_caught_up)
        await update_and_wait(system, provider_url, traffic, 3)
        assert await query_worker(address, endpoint) == 3
        await traffic.wait_for(30)
    assert system.workers[0].pid != victim.pid
    assert _failures_beyond(traffic, killed_at, gone_at) == []
    assert traffic.stale() == []


async def test_a_worker_that_is_told_to_stop_costs_no_request(
    system: System, endpoint: str
) -> None:
    victim = system.workers[0]
    async with constant_traffic(system, endpoint, rate=60) as traffic:
        await traffic.wait_for(20)
        send(victim, signal.SIGTERM)
        await until(lambda: _is_gone(victim.pid))
        await until(lambda: deployment.all_healthy(system))
        await traffic.wait_for(20)
    assert system.workers[0].pid != victim.pid
    assert traffic.failures() == []


async def test_stopped_worker_fails_the_update_and_never_answers_stale(
    system: System, endpoint: str, provider_url: str
) -> None:
    victim = system.workers[1]
    address = worker_address(system, victim.name)
    async with constant_traffic(system, endpoint, rate=40) as traffic:
        send(victim, signal.SIGSTOP)
        try:
            begun = await update(system, provider_url, endpoint, 2)
            assert begun.body["state"]["config_update"] == "IN_PROGRESS", begun
            assert begun.body["pending_config"]["config_version"] == 2

            async def has_failed() -> bool:
                answer = await system.call("GET", f"{deployment.PATH}/{endpoint}")
                return bool(answer.body["state"]["config_update"] == "UPDATE_FAILED")

            await until(has_failed)
            kept = await system.call("GET", f"{deployment.PATH}/{endpoint}")
            assert kept.body["config"]["config_version"] == 1
            await traffic.wait_for(20)
            # The worker has been dropped: the next update does not wait for it.
            await update_and_wait(system, provider_url, traffic, 3)
            await traffic.wait_for(20)
        finally:
            send(victim, signal.SIGCONT)

        async def has_caught_up() -> bool:
            return await query_worker(address, endpoint) == 3

        await until(has_caught_up)
        await update_and_wait(system, provider_url, traffic, 4)
        assert await query_worker(address, endpoint) == 4
        await traffic.wait_for(30)
    # What the stopped worker had been sent was answered when it went on.
    assert traffic.failures() == []
    assert traffic.stale() == []
    assert all(outcome.served_version != 2 for outcome in traffic.outcomes)


def _failures_beyond(traffic: Traffic, killed_at: float, gone_at: float) -> list[str]:
    """Return the failures of requests that cannot have been on a worker killed in that time."""
    return [
        outcome.describe()
        for outcome in traffic.outcomes
        if outcome.failure() and not (outcome.sent <= gone_at and outcome.ended >= killed_at)
    ]


async def _is_gone(pid: int | None) -> bool:
    assert pid is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
