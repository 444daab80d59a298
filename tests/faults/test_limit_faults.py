"""A limit holds while workers are killed and paused, and when the control plane is killed."""

import asyncio
import signal
import time
from collections import Counter

from bench.system import System
from tests.faults import deployment
from tests.faults.deployment import is_serving, kill, send, until, worker_address

_LIMIT = 60
_LIMITS = {"rate_limits": [{"calls": _LIMIT, "renewal_period": "minute"}]}
_CHAT = {"messages": [{"role": "user", "content": "Hi"}]}
_PACE_SECONDS = 0.01


async def test_a_limit_survives_its_workers_and_its_control_plane(
    system: System, endpoint: str
) -> None:
    path = f"{deployment.PATH}/{endpoint}/rate-limits"
    first_window = _minute()
    assert (await system.call("PUT", path, _LIMITS)).status == 200
    statuses: Counter[int] = Counter()
    killed, paused = system.workers[0], system.workers[1]

    statuses += await _send(system, endpoint, _LIMIT // 3)
    kill(killed)
    statuses += await _send(system, endpoint, _LIMIT // 3)
    await until(lambda: is_serving(worker_address(system, killed.name)))
    await until(lambda: deployment.all_healthy(system))
    send(paused, signal.SIGSTOP)
    try:
        waiting = asyncio.create_task(_send(system, endpoint, _LIMIT // 6))
        await asyncio.wait([waiting], timeout=1.0)
    finally:
        send(paused, signal.SIGCONT)
    statuses += await waiting
    statuses += await _send(system, endpoint, _LIMIT)
    windows = _minute() - first_window + 1
    assert statuses[200] <= _LIMIT * windows
    assert statuses[200] > _LIMIT // 2
    if windows == 1:
        # With so much beyond it, the limit was reached.
        assert statuses[429] > 0, statuses

    kill(system.control_plane)

    async def is_back() -> bool:
        return (await system.call("GET", path)).status == 200

    await until(is_back)
    statuses += await _send(system, endpoint, _LIMIT)
    windows = _minute() - first_window + 1
    assert statuses[200] <= _LIMIT * windows


async def _send(system: System, endpoint: str, count: int) -> Counter[int]:
    """Send queries, one soon after the other, and return how often there was which status."""

    async def query(number: int) -> int:
        await asyncio.sleep(number * _PACE_SECONDS)
        try:
            url = f"/serving-endpoints/{endpoint}/invocations"
            return (await system.call("POST", url, _CHAT)).status
        except OSError:
            return 0

    return Counter(await asyncio.gather(*(query(number) for number in range(count))))


def _minute() -> int:
    return time.time_ns() // 60_000_000_000
