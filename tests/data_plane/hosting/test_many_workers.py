"""Several workers that share replicas and know nothing of each other."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import httpx
from prometheus_client import CollectorRegistry

from modelplane.data_plane.process import Clocks
from modelplane.data_plane.server import running_worker
from modelplane.data_plane.settings import Settings
from tests.data_plane.conftest import WALL_MS
from tests.data_plane.fakes import FakeControlPlane, MovableClock
from tests.data_plane.hosting.model_server import ModelServer, model_servers
from tests.data_plane.hosting.world import BODY, GROUP, group
from tests.data_plane.messages import (
    TOKEN,
    endpoint,
    endpoint_config,
    hosted_by,
    hosted_entity,
    snapshot,
)


@asynccontextmanager
async def worker(directory: Path, seed: int, *servers: ModelServer) -> AsyncIterator[str]:
    """Run a worker that knows these replicas; yield its URL."""
    control_plane = FakeControlPlane()
    await control_plane.start()
    settings = Settings(
        control_plane=control_plane.target,
        worker_id=f"worker-{seed}",
        worker_listen="127.0.0.1:0",
        journal_dir=str(directory / f"journal-{seed}"),
        notice_seconds=0.0,
        drain_seconds=1.0,
    )
    clocks = Clocks(MovableClock(), asyncio.sleep, Random(seed))
    resource = endpoint("iris", endpoint_config(hosted_entity()), hosted=[hosted_by(GROUP)])
    try:
        async with running_worker(settings, CollectorRegistry(), clocks, lambda: WALL_MS) as one:
            control_plane.push(snapshot(1, resource, groups=(group(*servers),)))
            while not (await control_plane.next()).HasField("ack"):
                pass
            yield f"http://127.0.0.1:{one.listener.port}/serving-endpoints/iris/invocations"
    finally:
        await control_plane.stop()


async def test_they_share_replicas_that_are_too_few_for_all(tmp_path: Path) -> None:
    servers = [ModelServer(concurrency=2, seconds=0.005) for _ in range(2)]
    async with model_servers(*servers), AsyncExitStack() as stack:
        urls = [
            await stack.enter_async_context(worker(tmp_path, seed, *servers)) for seed in range(4)
        ]
        limits = httpx.Limits(max_connections=None)
        client = await stack.enter_async_context(httpx.AsyncClient(limits=limits, timeout=240))
        client.headers["authorization"] = f"Bearer {TOKEN}"
        asked = [client.post(urls[number % 4], content=BODY) for number in range(200)]
        answers = await asyncio.gather(*asked)
    assert Counter(answer.status_code for answer in answers) == {200: 200}
    # Each request was taken once, and none by a replica that was full.
    assert sum(len(server.requests) for server in servers) == 200
    assert all(server.most <= 4 for server in servers)
    assert min(len(server.requests) for server in servers) > 60
