"""What may restart a process asks its event loop, not the thread that serves the page."""

import asyncio
import threading
import time

import aiohttp
from prometheus_client import CollectorRegistry

from modelplane.adapters.shared.probes import LIVE, READY, Probes
from modelplane.adapters.shared.telemetry import serve_metrics


async def test_a_process_is_ready_when_it_says_so() -> None:
    probes = Probes(asyncio.get_running_loop())
    port = serve_metrics("127.0.0.1", 0, CollectorRegistry(), probes.paths)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:

        async def ask(path: str) -> tuple[int, str]:
            async with client.get(path) as answer:
                return answer.status, (await answer.text()).strip()

        assert await ask(LIVE) == (200, "ok")
        assert await ask(READY) == (503, "starting")
        probes.ready = lambda: "behind"
        assert await ask(READY) == (503, "behind")
        probes.ready = str
        assert await ask(READY) == (200, "ok")
        assert (await ask("/metrics"))[0] == 200


async def test_a_loop_that_hangs_does_not_live() -> None:
    probes = Probes(asyncio.get_running_loop(), seconds=0.05)
    found: list[str] = []
    asking = threading.Thread(target=lambda: found.append(probes.paths[LIVE]()))
    asking.start()
    # As code that never yields would.
    while not found:
        time.sleep(0.01)  # noqa: ASYNC251 - it holds the loop
    assert found == ["the event loop does not answer"]


def test_a_loop_that_ended_does_not_live() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    assert Probes(loop).paths[LIVE]() == "ended"
