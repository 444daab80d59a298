"""One Envoy before two toy planes, shared by the tests of a module."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio

from tests.deploy.envoy.envoys import running_envoy, until_health
from tests.deploy.envoy.toy_planes import ToyPlane


@dataclass
class Gateway:
    """What the tests need of the running parts."""

    url: str
    host: str
    port: int
    rest: httpx.AsyncClient
    channel: grpc.aio.Channel
    control_plane: ToyPlane
    worker: ToyPlane

    async def query(self, body: Any, **options: Any) -> httpx.Response:
        return await self.rest.post("/serving-endpoints/toy/invocations", json=body, **options)

    async def get(self, name: str) -> httpx.Response:
        return await self.rest.get(f"/api/2.0/serving-endpoints/{name}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    directory = tmp_path_factory.mktemp("envoy")
    async with (
        ToyPlane() as control_plane,
        ToyPlane() as worker,
        running_envoy(directory, [control_plane.port], [worker.port]) as (public, _),
    ):
        await until_health(public, 200)
        url = f"http://{public}"
        async with (
            httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as rest,
            grpc.aio.insecure_channel(str(public)) as channel,
        ):
            yield Gateway(url, public.host, public.port, rest, channel, control_plane, worker)
