"""Of those whom the CA knows, each is let in to what is for it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from modelplane.adapters.shared.rpc.server import Health, new_server, running
from modelplane.adapters.shared.rpc.tls import open_channel, server_credentials
from modelplane.control_plane.server.internal_callers import InternalCallers
from modelplane.deploy.certificates import (
    CONTROL_PLANE,
    ENVOY,
    LAUNCHER,
    WORKER,
    CertificateDir,
)
from tests.adapters.shared.rpc.certificates import files, made
from tests.adapters.shared.rpc.test_tls import OPTIONS, check

# Each is for those whose certificates are called the same; the last is for nobody.
SERVICES = (WORKER, LAUNCHER, "other")


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
    server = new_server(
        [], health.servicer, [InternalCallers({name: name for name in (WORKER, LAUNCHER)})]
    )
    handlers: dict[str, Any] = {
        "Unary": grpc.unary_unary_rpc_method_handler(echo),
        "Stream": grpc.stream_stream_rpc_method_handler(echo_all),
    }
    for service in SERVICES:
        handler = grpc.method_handlers_generic_handler(service, handlers)
        server.add_generic_rpc_handlers((handler,))
    credentials = server_credentials(files(certificates, CONTROL_PLANE))
    async with running(server, "127.0.0.1:0", 0, credentials) as port:
        yield f"127.0.0.1:{port}"


async def call(channel: grpc.aio.Channel, service: str, kind: str, *, refused: bool) -> Any:
    unary: Any = channel.unary_unary(f"/{service}/Unary")
    stream: Any = channel.stream_stream(f"/{service}/Stream")
    if kind == "Unary":
        return await unary(b"a", timeout=60)
    made = stream(timeout=60)
    # To write to what has been refused meanwhile is an error of the client, in place of the answer.
    if not refused:
        await made.write(b"a")
    return await made.read()


@pytest.mark.parametrize("kind", ["Unary", "Stream"])
@pytest.mark.parametrize("caller", [WORKER, LAUNCHER, ENVOY])
async def test_each_is_answered_by_what_is_for_it_alone(
    target: str, certificates: CertificateDir, caller: str, kind: str
) -> None:
    async with open_channel(target, files(certificates, caller), OPTIONS) as channel:
        for service in SERVICES:
            if service == caller:
                assert await call(channel, service, kind, refused=False) == b"a"
                continue
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(channel, service, kind, refused=True)
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            assert "This certificate is not" in (caught.value.details() or "")


async def test_health_is_no_secret(target: str, certificates: CertificateDir) -> None:
    assert await check(target, files(certificates, ENVOY)) == "SERVING"
