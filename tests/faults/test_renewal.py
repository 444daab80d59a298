"""Workers and Envoy are replaced under load, and not one request is lost."""

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bench.mock_provider import MockProvider, StreamShape
from bench.system import System, running_system
from tests.effort import times
from tests.faults.deployment import create, until, update_and_wait
from tests.faults.traffic import Traffic, constant_traffic

_ONE = ("--no-hosting", "--workers", "1")
# Longer than a stream; an Envoy that was replaced has ten times as much.
_DRAIN = {"MODELPLANE_DRAIN_SECONDS": "1"}
_STREAM = StreamShape(chunks=10, interval_seconds=0.05)


@pytest.fixture
async def slow_provider() -> AsyncIterator[str]:
    async with MockProvider(_STREAM) as provider:
        yield provider.url


def state(system: System) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((system.directory / "up.json").read_text())
    return found


def pids(system: System) -> list[int]:
    found = state(system)
    return [part["pid"] for part in (*found["workers"], found["envoy"])]


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_file(path: Path) -> bool:
    return path.is_file()


async def until_gone(*processes: int) -> None:
    async def are_gone() -> bool:
        return not any(map(is_there, processes))

    await until(are_gone)


async def renew(system: System) -> int:
    """Let all processes be replaced; return the old Envoy, which lives on for some time."""
    *workers, envoy = pids(system)
    os.kill(system.up.pid, signal.SIGUSR1)

    async def is_done() -> bool:
        return not {*workers, envoy} & {*pids(system)}

    await until(is_done)
    await until_gone(*workers)
    return envoy


@pytest.mark.parametrize("workers", [1, 2][: times(1, 2)])
async def test_no_request_fails_while_all_is_replaced(
    slow_provider: str, tmp_path: Path, workers: int
) -> None:
    options = ("--no-hosting", "--workers", str(workers))
    async with running_system(tmp_path, *options, settings=_DRAIN) as system:
        assert (await create(system, slow_provider, "endpoint")).status == 200
        async with constant_traffic(system, "endpoint", rate=40) as traffic:
            await traffic.wait_for(20)
            for _ in range(2 if workers > 1 else times(1, 2)):
                old = await renew(system)
                assert is_there(old)
                await traffic.wait_for(20)
                await until_gone(old)
            await update_and_wait(system, slow_provider, traffic, 2)
            await traffic.wait_for(20)
        assert traffic.failures() == []
        assert traffic.stale() == []
        assert sum(outcome.streamed for outcome in traffic.outcomes) > 50


async def test_what_does_not_come_to_serve_leaves_the_old_one(
    provider_url: str, tmp_path: Path
) -> None:
    async with running_system(tmp_path, *_ONE, settings=_DRAIN) as system:
        assert (await create(system, provider_url, "endpoint")).status == 200
        ports = json.loads((tmp_path / "ports.json").read_text())
        before = pids(system)

        async def has_failed() -> bool:
            return "the worker cannot start" in (tmp_path / "logs" / "worker-1.log").read_text()

        async with constant_traffic(system, "endpoint", rate=40) as traffic:
            with socket.create_server(("127.0.0.1", ports["worker-1-b"])):
                os.kill(system.up.pid, signal.SIGUSR1)
                await until(has_failed)
            await traffic.wait_for(20)
            assert pids(system) == before
            await renew(system)
            await traffic.wait_for(20)
        assert traffic.failures() == []
        # Started again, a killed one has the place of the one that it replaced.
        for pid in pids(system):
            os.kill(pid, signal.SIGKILL)

        async def has_come_back() -> bool:
            return (await system.call("GET", "/health")).status == 200

        await until(has_come_back)


def shared_memory(process: int) -> Path:
    """Return the file that an Envoy shares with the one that takes its place."""
    maps = Path(f"/proc/{process}/maps").read_text()
    [path] = set(re.findall(r"/dev/shm/envoy\S+", maps))
    return Path(path)


async def test_a_stop_while_all_is_replaced_lets_requests_end(
    slow_provider: str, tmp_path: Path
) -> None:
    async with running_system(tmp_path, *_ONE, settings=_DRAIN) as system:
        assert (await create(system, slow_provider, "endpoint")).status == 200
        traffic = Traffic(system, "endpoint", 0)
        old = pids(system)
        left = shared_memory(old[-1])
        assert is_file(left)
        stream = asyncio.create_task(traffic._send(streamed=True))
        await asyncio.sleep(_STREAM.interval_seconds)
        os.kill(system.up.pid, signal.SIGUSR1)

        async def has_begun() -> bool:
            return pids(system)[0] != old[0]

        await until(has_begun)
        os.kill(system.up.pid, signal.SIGTERM)
        await stream
        assert traffic.failures() == []
        await asyncio.to_thread(system.up.process.wait, 30)
        assert system.up.process.returncode == 0
        await traffic.aclose()
    assert not is_file(left)
