"""Large bodies over HTTP/2 within TLS, at an Envoy with little memory."""

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from modelplane.deploy.certificates import CONTROL_PLANE, CertificateDir
from modelplane.deploy.envoy.options import Address
from tests.deploy.envoy.conftest import AS_IT_IS, TRANSCODED
from tests.deploy.envoy.envoys import running_envoy
from tests.deploy.envoy.toy_planes import ToyControlPlane
from tests.deploy.envoy.toy_worker import ToyWorker
from tests.effort import times
from tests.http2 import Http2

MIB = 1024 * 1024
HEAP_MIB = 96
ENDPOINTS = "/api/2.0/serving-endpoints"
KNOWN = {"authorization": "Bearer known"}
# Together several times the memory.
CONNECTIONS, STREAMS, BODY = 4, 10, 15 * MIB


@pytest.fixture
def identity(tmp_path: Path) -> CertificateDir:
    directory = CertificateDir(tmp_path / "public")
    directory.ensure(["127.0.0.1"], datetime.now(UTC))
    return directory


def trusting(identity: CertificateDir) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=identity.path / "ca.crt")
    context.set_alpn_protocols(["h2"])
    return context


async def hold(connection: Http2, path: str, authorization: list[tuple[str, str]]) -> None:
    """Send all of a body but its end, as far as it is taken."""
    headers = [(":method", "POST"), (":scheme", "https"), (":authority", "a"), (":path", path)]
    headers += [("content-type", "application/json"), *authorization]
    number = await connection.call(headers, b'{"prompt":"', ends=False)
    await connection.pour(number, BODY)


@pytest.mark.parametrize("authorization", [[], list(KNOWN.items())], ids=["nobody", "caller"])
@pytest.mark.parametrize("path", [AS_IT_IS, TRANSCODED, ENDPOINTS][: times(2, 3)])
async def test_bodies_over_tls_take_no_more_memory_than_there_is(
    tmp_path: Path, identity: CertificateDir, path: str, authorization: list[tuple[str, str]]
) -> None:
    certificate = identity.path / CONTROL_PLANE
    async with (
        ToyControlPlane() as control_plane,
        ToyWorker(Address.of_path(str(tmp_path / "worker.sock"))) as worker,
        running_envoy(
            tmp_path,
            control_plane.address,
            worker.address,
            max_heap_mib=HEAP_MIB,
            public_tls_cert=str(certificate.with_suffix(".crt")),
            public_tls_key=str(certificate.with_suffix(".key")),
        ) as (public, admin),
        httpx.AsyncClient(
            http2=True, verify=trusting(identity), trust_env=False, timeout=120, headers=KNOWN
        ) as honest,
    ):
        while (await honest.get(f"https://{public}/health")).status_code != 200:
            await asyncio.sleep(0.02)
        opened = [
            await Http2.open(public.host, public.port, trusting(identity))
            for _ in range(CONNECTIONS)
        ]
        holds = [
            asyncio.create_task(hold(connection, path, authorization))
            for connection in opened
            for _ in range(STREAMS)
        ]
        most = 0
        statuses = []
        end = asyncio.get_running_loop().time() + times(1, 5)
        while asyncio.get_running_loop().time() < end:
            answer = await honest.get(f"https://{public}{ENDPOINTS}")
            statuses.append(answer.status_code)
            memory = (await admin.call("GET", "/memory")).json()
            most = max(most, int(memory["allocated"]))
        for connection in opened:
            await connection.close()
        for each in holds:
            each.cancel()
        await asyncio.gather(*holds, return_exceptions=True)
        while (await honest.get(f"https://{public}{ENDPOINTS}")).status_code != 200:
            await asyncio.sleep(0.05)
    # Envoy looks ten times a second. Between two looks it takes what comes, on a busy machine more.
    assert most < 2 * HEAP_MIB * MIB, most
    # Whoever comes while there is no room is told to come back; nobody is left without an answer.
    assert set(statuses) <= {200, 503}
