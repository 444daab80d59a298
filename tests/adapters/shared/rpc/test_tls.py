"""Mutual TLS on real sockets: who gets in, who does not, and new files without a restart."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from modelplane.adapters.shared.rpc.server import Health, new_server, running
from modelplane.adapters.shared.rpc.tls import (
    TlsFiles,
    check_loopback,
    open_channel,
    server_credentials,
    tls_files,
)
from modelplane.deploy.certificates import CONTROL_PLANE, WORKER, CertificateDir
from tests.adapters.shared.rpc.certificates import files, made, wrong_ones

# Else a connection that was made with other certificates would be shared.
OPTIONS = (("grpc.use_local_subchannel_pool", 1),)
STRANGERS = ("of another CA", "self-signed", "expired", "not yet valid", "of a server")


@pytest.fixture
def certificates(tmp_path: Path) -> CertificateDir:
    return made(tmp_path / "tls")


@pytest.fixture
async def port(certificates: CertificateDir) -> AsyncIterator[int]:
    health = Health()
    await health.set_serving(serving=True)
    server = new_server([], health.servicer)
    credentials = server_credentials(files(certificates, CONTROL_PLANE))
    async with running(server, "127.0.0.1:0", 0, credentials) as bound:
        yield bound


async def check(target: str, tls: TlsFiles | None) -> str:
    """Return what the server's health check says; the status when it says nothing."""
    async with open_channel(target, tls, OPTIONS) as channel:
        try:
            request = health_pb2.HealthCheckRequest()
            answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=60)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


async def test_a_worker_gets_in(port: int, certificates: CertificateDir) -> None:
    assert await check(f"127.0.0.1:{port}", files(certificates, WORKER)) == "SERVING"


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_a_stranger_does_not(
    stranger: str, port: int, certificates: CertificateDir, tmp_path: Path
) -> None:
    tls = wrong_ones(certificates, tmp_path / "wrong")[stranger]
    assert await check(f"127.0.0.1:{port}", tls) == "UNAVAILABLE"


async def test_nor_does_one_without_a_certificate(port: int, certificates: CertificateDir) -> None:
    target = f"127.0.0.1:{port}"
    assert await check(target, None) == "UNAVAILABLE"
    ca = files(certificates, WORKER).ca.read_bytes()
    trusting = grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(ca), options=OPTIONS)
    async with trusting as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=60
            )
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_worker_talks_to_no_server_of_another_ca_or_name(
    port: int, certificates: CertificateDir, tmp_path: Path
) -> None:
    own = files(certificates, WORKER)
    other = files(made(tmp_path / "other"), WORKER)
    assert await check(f"127.0.0.1:{port}", TlsFiles(other.ca, own.certificate, own.key)) == (
        "UNAVAILABLE"
    )
    assert await check(f"localhost:{port}", own) == "UNAVAILABLE"


async def test_new_files_hold_without_a_restart(
    port: int, certificates: CertificateDir, tmp_path: Path
) -> None:
    target = f"127.0.0.1:{port}"
    shutil.copytree(certificates.path, tmp_path / "before")
    for file in made(tmp_path / "next").path.iterdir():
        file.replace(certificates.path / file.name)
    assert await check(target, files(certificates, WORKER)) == "SERVING"
    assert await check(target, files(CertificateDir(tmp_path / "before"), WORKER)) == "UNAVAILABLE"


async def test_missing_files_leave_the_old_ones_in_force(
    port: int, certificates: CertificateDir
) -> None:
    (certificates.path / "control-plane.key").unlink()
    assert await check(f"127.0.0.1:{port}", files(certificates, WORKER)) == "SERVING"


def test_settings_come_together_or_not_at_all(certificates: CertificateDir) -> None:
    assert tls_files("", "", "") is None
    with pytest.raises(ValueError, match="belong together"):
        tls_files("ca.crt", "", "")
    with pytest.raises(FileNotFoundError):
        tls_files(str(certificates.path / "none"), "b", "c")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.8.9.1:1", "[::1]:1", "localhost:1"])
def test_this_machine(address: str) -> None:
    check_loopback(address, "MODELPLANE_SNAPSHOT_LISTEN")


@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "control-plane:1", ":1"])
def test_elsewhere(address: str) -> None:
    with pytest.raises(ValueError, match=r"MODELPLANE_SNAPSHOT_LISTEN is .* only mutual TLS"):
        check_loopback(address, "MODELPLANE_SNAPSHOT_LISTEN")
