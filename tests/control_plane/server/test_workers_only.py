"""Of those whom the CA knows, only workers are let in."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from modelplane.adapters.shared.rpc.server import Health, new_server, running
from modelplane.adapters.shared.rpc.tls import open_channel, server_credentials
from modelplane.control_plane.server.workers_only import WorkersOnly
from modelplane.deploy.certificates import CONTROL_PLANE, ENVOY, WORKER, CertificateDir
from tests.adapters.shared.rpc.certificates import files, made
from tests.adapters.shared.rpc.test_tls import OPTIONS, check

SERVICE = "toy.Service"


async def echo(request: bytes, context: Any) -> bytes:
    del context
    return request


async def echo_all(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    del context
    async for request in requests:
        yield request


@pytest.fixture
def certificates(tmp_path: Path) -> CertificateDir:
    return made(tmp_path / "tls")


@pytest.fixture
async def target(certificates: CertificateDir) -> AsyncIterator[str]:
    health = Health()
    await health.set_serving(serving=True)
    server = new_server([], health.servicer, [WorkersOnly()])
    handlers: dict[str, Any] = {
        "Unary": grpc.unary_unary_rpc_method_handler(echo),
        "Stream": grpc.stream_stream_rpc_method_handler(echo_all),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    credentials = server_credentials(files(certificates, CONTROL_PLANE))
    async with running(server, "127.0.0.1:0", 0, credentials) as port:
        yield f"127.0.0.1:{port}"


async def call(channel: grpc.aio.Channel, kind: str) -> Any:
    unary: Any = channel.unary_unary(f"/{SERVICE}/Unary")
    stream: Any = channel.stream_stream(f"/{SERVICE}/Stream")
    if kind == "Unary":
        return await unary(b"a", timeout=10)
    return await stream(iter([b"a"]), timeout=10).read()


@pytest.mark.parametrize("kind", ["Unary", "Stream"])
async def test_a_worker_is_answered_and_an_envoy_is_not(
    target: str, certificates: CertificateDir, kind: str
) -> None:
    async with open_channel(target, files(certificates, WORKER), OPTIONS) as channel:
        assert await call(channel, kind) == b"a"
    async with open_channel(target, files(certificates, ENVOY), OPTIONS) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, kind)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "not a worker's" in (caught.value.details() or "")


async def test_health_is_no_secret(target: str, certificates: CertificateDir) -> None:
    assert await check(target, files(certificates, ENVOY)) == "SERVING"
