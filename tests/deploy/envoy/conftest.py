"""One Envoy before two toy planes, shared by the tests of a module."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio

from modelplane.deploy.envoy.options import Address
from tests.deploy.envoy.envoys import running_envoy, until_health
from tests.deploy.envoy.toy_planes import ToyControlPlane
from tests.deploy.envoy.toy_worker import ToyService, ToyWorker

# One way of a query each: the second names a served entity, and is therefore transcoded.
AS_IT_IS = "/serving-endpoints/toy/invocations"
TRANSCODED = "/serving-endpoints/toy/served-models/one/invocations"
WAYS = pytest.mark.parametrize("path", [AS_IT_IS, TRANSCODED])


@dataclass
class Gateway:
    """What the tests need of the running parts."""

    url: str
    host: str
    port: int
    rest: httpx.AsyncClient
    channel: grpc.aio.Channel
    control_plane: ToyControlPlane
    worker: ToyService

    async def query(self, body: Any, path: str = TRANSCODED, **options: Any) -> httpx.Response:
        return await self.rest.post(path, json=body, **options)

    async def get(self, name: str) -> httpx.Response:
        return await self.rest.get(f"/api/2.0/serving-endpoints/{name}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    directory = tmp_path_factory.mktemp("envoy")
    async with (
        ToyControlPlane() as control_plane,
        ToyWorker(Address.of_path(str(directory / "worker.sock"))) as worker,
        running_envoy(directory, control_plane.address, worker.address) as (public, _),
    ):
        await until_health(public, 200)
        url = f"http://{public}"
        async with (
            httpx.AsyncClient(
                base_url=url,
                timeout=120,
                trust_env=False,
                headers={"authorization": "Bearer known"},
            ) as rest,
            grpc.aio.insecure_channel(str(public)) as channel,
        ):
            where = (public.host, public.port)
            yield Gateway(url, *where, rest, channel, control_plane, worker.service)
