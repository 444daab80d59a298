"""`modelplane worker --public-listen`: one Envoy with the worker inside, as clients see it."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import grpc
import httpx
import pytest
from modelserving.v1.endpoint_service_pb2 import GetServingEndpointRequest
from modelserving.v1.endpoint_service_pb2_grpc import EndpointServiceStub

from modelplane.deploy.certificates import CONTROL_PLANE, CertificateDir
from modelplane.deploy.http_client import HttpClient
from tests.data_plane.conftest import collect
from tests.data_plane.messages import TOKEN
from tests.deploy.envoy.toy_planes import ToyPlane
from tests.deploy.worker.test_envoy_process import until_refused
from tests.deploy.worker.workers import CHAT, STREAM, SlowUpstream, Worker, query, serving

INVOCATIONS = "/serving-endpoints/chat/invocations"
ENDPOINTS = "/api/2.0/serving-endpoints"


@pytest.fixture
async def upstream() -> AsyncIterator[SlowUpstream]:
    async with SlowUpstream() as server:
        yield server


@pytest.fixture
async def worker(tmp_path: Path, upstream: SlowUpstream) -> AsyncIterator[Worker]:
    async with public_worker(tmp_path, upstream) as worker:
        yield worker


@asynccontextmanager
async def public_worker(
    tmp_path: Path, upstream: SlowUpstream, *flags: str
) -> AsyncIterator[Worker]:
    async with ToyPlane() as plane:
        api = ("--control-plane-api", f"127.0.0.1:{plane.port}")
        public = ("--public-listen", "127.0.0.1:0")
        async with serving(tmp_path, upstream, *public, *api, *flags) as worker:
            while not (await HttpClient(worker.admin).call("GET", "/ready")).ok:
                await asyncio.sleep(0.02)
            yield worker


def rest(worker: Worker, tls: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {TOKEN}"}
    url = f"{'https' if tls else 'http'}://{worker.address}"
    verify = tls or ssl.create_default_context()
    return httpx.AsyncClient(
        base_url=url, headers=headers, timeout=30, trust_env=False, verify=verify
    )


async def test_rest_and_grpc_reach_both_planes(worker: Worker) -> None:
    async with rest(worker) as client:
        health = await client.get("/health")
        assert (health.status_code, health.json()) == (200, {"status": "SERVING"})
        answer = await client.post(INVOCATIONS, json=CHAT)
        assert answer.json()["choices"][0]["message"]["content"] == "hi"
        assert answer.headers["served-model-name"] == "gpt-4"
        while (found := await client.get(f"{ENDPOINTS}/x")).status_code == 503:
            # Its Envoy has not looked at the control plane's health yet.
            await asyncio.sleep(0.02)
        assert found.json()["name"] == "x"
        refused = await client.post("/serving-endpoints/none/invocations", json=CHAT)
        assert refused.status_code == 404
        assert refused.json()["message"].startswith("The given endpoint does not exist")
    async with grpc.aio.insecure_channel(str(worker.address)) as channel:
        assert (await collect(query(channel, CHAT))).status == 200
        request = GetServingEndpointRequest(name="y")
        assert (await EndpointServiceStub(channel).GetServingEndpoint(request)).name == "y"


async def test_a_stream_ends_by_itself_while_health_says_not_ready(
    worker: Worker, upstream: SlowUpstream
) -> None:
    async with rest(worker) as client, rest(worker) as watcher:
        assert (await watcher.get("/health")).status_code == 200
        async with client.stream("POST", INVOCATIONS, json=STREAM) as response:
            lines = response.aiter_lines()
            assert "first" in await anext(lines)
            worker.process.terminate()
            await worker.said("the worker drains")
            while (found := await watcher.get("/health")).status_code == 200:
                await asyncio.sleep(0.02)
            assert found.status_code == 503
            assert found.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
            assert found.headers["connection"] == "close"
            await until_refused(worker.address)
            upstream.go_on.set()
            rest_of_it = [line async for line in lines if line]
            assert (
                "last"
                in json.loads(rest_of_it[0].removeprefix("data: "))["choices"][0]["delta"].values()
            )
            assert rest_of_it[-1] == "data: [DONE]"
        assert await worker.ended() == 0


async def test_https(tmp_path: Path, upstream: SlowUpstream) -> None:
    identity = CertificateDir(tmp_path / "public")
    identity.ensure(["127.0.0.1"], datetime.now(UTC))
    files = {"cert": "crt", "key": "key"}
    flags = [
        part
        for name, suffix in files.items()
        for part in (
            f"--public-tls-{name}",
            str(identity.path / f"{CONTROL_PLANE}.{suffix}"),
        )
    ]
    trusted = ssl.create_default_context(cafile=identity.path / "ca.crt")
    async with (
        public_worker(tmp_path, upstream, *flags) as worker,
        rest(worker, trusted) as client,
    ):
        assert (await client.post(INVOCATIONS, json=CHAT)).status_code == 200
