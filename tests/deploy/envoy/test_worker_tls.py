"""A worker on another machine: it and Envoy know each other by their certificates."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from grpc.aio import insecure_channel

from modelplane.adapters.shared.rpc.tls import server_context
from modelplane.deploy.certificates import CONTROL_PLANE, ENVOY, WORKER, CertificateDir
from modelplane.deploy.envoy.options import Address
from modelplane.deploy.local.http_client import HttpClient
from tests.adapters.shared.rpc.certificates import files, made
from tests.deploy.envoy.conftest import AS_IT_IS, TRANSCODED
from tests.deploy.envoy.envoys import running_envoy, until_healthy
from tests.deploy.envoy.test_filters import check_error
from tests.deploy.envoy.test_grpc_calls import query, read_all
from tests.deploy.envoy.toy_planes import ToyControlPlane
from tests.deploy.envoy.toy_worker import ToyWorker


@pytest.fixture
def certificates(tmp_path: Path) -> CertificateDir:
    return made(tmp_path / "tls")


def of_envoy(directory: CertificateDir, ca: CertificateDir) -> dict[str, Any]:
    return {
        "worker_tls_ca": str(ca.path / "ca.crt"),
        "worker_tls_cert": str(directory.path / f"{ENVOY}.crt"),
        "worker_tls_key": str(directory.path / f"{ENVOY}.key"),
    }


@contextlib.asynccontextmanager
async def deployment(
    directory: Path, server: ssl.SSLContext, envoy: dict[str, Any]
) -> AsyncIterator[tuple[Address, HttpClient]]:
    async with (
        ToyControlPlane() as control_plane,
        ToyWorker(tls=server) as worker,
        running_envoy(directory, control_plane.address, worker.address, **envoy) as running,
    ):
        yield running


async def test_calls_of_all_kinds(tmp_path: Path, certificates: CertificateDir) -> None:
    server, envoy = (
        server_context(files(certificates, WORKER)),
        of_envoy(certificates, certificates),
    )
    async with deployment(tmp_path, server, envoy) as (public, admin):
        await until_healthy(admin, 1)
        async with httpx.AsyncClient(base_url=f"http://{public}", trust_env=False) as rest:
            for path in (AS_IT_IS, TRANSCODED):
                assert (await rest.post(path, json={"a": 1})).json() == {"a": 1}
        async with insecure_channel(str(public)) as channel:
            assert len(await read_all(query(channel))) == 1


@pytest.mark.parametrize("stranger", ["worker", "server", "envoy", "plaintext"])
async def test_strangers_are_not_spoken_to(
    tmp_path: Path, certificates: CertificateDir, stranger: str
) -> None:
    other = made(tmp_path / "other")
    name = CONTROL_PLANE if stranger == "server" else WORKER
    server = server_context(files(other if stranger == "worker" else certificates, name))
    envoy = of_envoy(other if stranger == "envoy" else certificates, certificates)
    chosen = {} if stranger == "plaintext" else envoy
    async with deployment(tmp_path, server, chosen) as (public, admin):
        failures = "cluster.workers.health_check.failure"
        while True:
            answer = await admin.call("GET", f"/stats?format=json&filter=^{failures}$")
            if answer.json()["stats"][0]["value"]:
                break
            await asyncio.sleep(0.02)
        async with httpx.AsyncClient(base_url=f"http://{public}", trust_env=False) as rest:
            check_error(await rest.post(AS_IT_IS, json={}), 503, "TEMPORARILY_UNAVAILABLE")
