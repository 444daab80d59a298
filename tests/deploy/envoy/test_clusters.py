"""Health, balancing and failure of the servers behind Envoy."""

import asyncio
from pathlib import Path

import httpx
import pytest

from modelplane.deploy.envoy.clusters import build_workers
from modelplane.deploy.envoy.options import Address
from tests.deploy.envoy.conftest import AS_IT_IS as QUERY
from tests.deploy.envoy.envoys import running_envoy, until_health, until_healthy
from tests.deploy.envoy.test_filters import check_error
from tests.deploy.envoy.toy_planes import ToyControlPlane
from tests.deploy.envoy.toy_worker import ToyWorker


@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_one_worker_of_two_is_enough(tmp_path: Path, kind: str) -> None:
    places = [
        Address.of_path(str(tmp_path / f"{name}.sock")) if kind == "unix" else None
        for name in ("first", "second")
    ]
    async with (
        ToyControlPlane() as control_plane,
        ToyWorker(places[0]) as first,
        ToyWorker(places[1]) as second,
        running_envoy(tmp_path, control_plane.address, first.address, second.address) as (
            public,
            admin,
        ),
        httpx.AsyncClient(base_url=f"http://{public}", trust_env=False) as client,
    ):
        await until_health(public, 200)
        await until_healthy(admin, 2)
        for _ in range(20):
            assert (await client.post(QUERY, json={})).status_code == 200
        assert first.service.seen["toy"] > 0
        assert second.service.seen["toy"] > 0

        await first.stop()
        # Not one call is lost, although Envoy has yet to learn that the worker is gone.
        for _ in range(20):
            assert (await client.post(QUERY, json={})).status_code == 200

        second.obstacle = "draining"
        await until_health(public, 503)
        unhealthy = await client.get("/health")
        check_error(unhealthy, 503, "TEMPORARILY_UNAVAILABLE")
        # The thread that takes requests learns it a moment after the one that checks.
        while (refused := await client.post(QUERY, json={})).status_code == 200:
            pass
        check_error(refused, 503, "TEMPORARILY_UNAVAILABLE")
        assert refused.headers["retry-after"] == "1"

        second.obstacle = ""
        await until_health(public, 200)
        healthy = await client.get("/health?verbose")
        assert healthy.json() == {"status": "SERVING"}
        while (await client.post(QUERY, json={})).status_code != 200:
            pass


async def test_loss_of_a_server_in_mid_call(tmp_path: Path) -> None:
    async with (
        ToyControlPlane() as control_plane,
        ToyWorker() as worker,
        running_envoy(tmp_path, control_plane.address, worker.address) as (public, _),
        httpx.AsyncClient(base_url=f"http://{public}", trust_env=False) as client,
    ):
        await until_health(public, 200)
        call = asyncio.ensure_future(client.post(QUERY, json={"mode": "hang"}))
        await worker.service.started.wait()
        await worker.stop()
        check_error(await call, 503, "TEMPORARILY_UNAVAILABLE")


def test_names_are_resolved_and_addresses_are_not() -> None:
    by_ip = build_workers([Address("10.0.0.1", 1), Address("::1", 2)])
    by_path = build_workers([Address.of_path("/run/worker.sock"), Address("10.0.0.1", 1)])
    by_name = build_workers([Address("worker.internal", 1)])
    assert by_ip["type"] == by_path["type"] == "STATIC"
    assert "type" not in by_name
    assert "envoy.cluster.dns" in str(by_name["cluster_type"])
    with pytest.raises(ValueError, match="workers cannot have host names beside Unix sockets"):
        build_workers([Address.of_path("/run/worker.sock"), Address("worker.internal", 1)])
