"""Health, balancing and failure of the servers behind Envoy."""

import asyncio
from pathlib import Path

import httpx

from modelplane.deploy.envoy.clusters import WORKERS, build_cluster
from modelplane.deploy.envoy.options import Address
from modelplane.deploy.http_client import HttpClient
from tests.deploy.envoy.envoys import running_envoy, until_health
from tests.deploy.envoy.test_filters import check_error
from tests.deploy.envoy.toy_planes import ToyPlane

QUERY = "/serving-endpoints/toy/invocations"


async def test_one_worker_of_two_is_enough(tmp_path: Path) -> None:
    async with (
        ToyPlane() as control_plane,
        ToyPlane() as first,
        ToyPlane() as second,
        running_envoy(tmp_path, [control_plane.port], [first.port, second.port]) as (public, admin),
        httpx.AsyncClient(base_url=f"http://{public}", trust_env=False) as client,
    ):
        await until_health(public, 200)
        await until_healthy(admin, 2)
        for _ in range(20):
            assert (await client.post(QUERY, json={})).status_code == 200
        assert first.inference.seen["toy"] > 0
        assert second.inference.seen["toy"] > 0

        await first.stop()
        # Not one call is lost, although Envoy has yet to learn that the worker is gone.
        for _ in range(20):
            assert (await client.post(QUERY, json={})).status_code == 200

        await second.health.set_serving(serving=False)
        await until_health(public, 503)
        unhealthy = await client.get("/health")
        check_error(unhealthy, 503, "TEMPORARILY_UNAVAILABLE")
        # The thread that takes requests learns it a moment after the one that checks.
        while (refused := await client.post(QUERY, json={})).status_code == 200:
            pass
        check_error(refused, 503, "TEMPORARILY_UNAVAILABLE")
        assert refused.headers["retry-after"] == "1"

        await second.health.set_serving(serving=True)
        await until_health(public, 200)
        healthy = await client.get("/health?verbose")
        assert healthy.json() == {"status": "SERVING"}
        while (await client.post(QUERY, json={})).status_code != 200:
            pass


async def test_loss_of_a_server_in_mid_call(tmp_path: Path) -> None:
    async with (
        ToyPlane() as control_plane,
        ToyPlane() as worker,
        running_envoy(tmp_path, [control_plane.port], [worker.port]) as (public, _),
        httpx.AsyncClient(base_url=f"http://{public}", trust_env=False) as client,
    ):
        await until_health(public, 200)
        call = asyncio.ensure_future(client.post(QUERY, json={"mode": "hang"}))
        await worker.inference.started.wait()
        await worker.stop()
        check_error(await call, 503, "TEMPORARILY_UNAVAILABLE")


async def until_healthy(admin: HttpClient, count: int) -> None:
    while True:
        stats = await admin.call("GET", "/stats?filter=cluster.workers.membership_healthy")
        if stats.body.strip().endswith(b" %d" % count):
            return
        await asyncio.sleep(0.02)


def test_names_are_resolved_and_addresses_are_not() -> None:
    by_ip = build_cluster(WORKERS, [Address("10.0.0.1", 1), Address("::1", 2)])
    by_name = build_cluster(WORKERS, [Address("worker.internal", 1)])
    assert by_ip["type"] == "STATIC"
    assert "type" not in by_name
    assert "envoy.cluster.dns" in str(by_name["cluster_type"])
