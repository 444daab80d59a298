"""HTTPS at the public port: REST and gRPC, by clients that trust the certificate's CA."""

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path

import grpc
import httpx
import pytest
from modelserving.v1.endpoint_service_pb2 import ListServingEndpointsRequest
from modelserving.v1.endpoint_service_pb2_grpc import EndpointServiceStub

from modelplane.deploy.certificates import CONTROL_PLANE, CertificateDir
from modelplane.deploy.local.child import python_command
from tests.deploy.local.deployments import Deployment, running, start

ENDPOINTS = "/api/2.0/serving-endpoints"
HOSTS = ["127.0.0.1"]


@pytest.fixture
def identity(tmp_path: Path) -> CertificateDir:
    directory = CertificateDir(tmp_path / "public")
    directory.ensure(HOSTS, datetime.now(UTC))
    return directory


def flags(identity: CertificateDir) -> list[str]:
    names = (("--public-tls-cert", "crt"), ("--public-tls-key", "key"))
    return [
        part
        for flag, suffix in names
        for part in (flag, str(identity.path / f"{CONTROL_PLANE}.{suffix}"))
    ]


def token(deployment: Deployment) -> str:
    return (deployment.data_dir / "admin-token").read_text().strip()


def trusting(identity: CertificateDir) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=identity.path / "ca.crt")


async def get(deployment: Deployment, tls: ssl.SSLContext) -> int:
    headers = {"authorization": f"Bearer {token(deployment)}"}
    async with httpx.AsyncClient(verify=tls, trust_env=False) as client:
        return (await client.get(deployment.state["url"] + ENDPOINTS, headers=headers)).status_code


async def test_https(tmp_path: Path, identity: CertificateDir) -> None:
    async with running(tmp_path / "d", "--no-hosting", *flags(identity)) as deployment:
        assert deployment.state["url"].startswith("https://127.0.0.1:")
        assert await get(deployment, trusting(identity)) == 200
        target = deployment.state["url"].removeprefix("https://")

        ca = (identity.path / "ca.crt").read_bytes()
        async with grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(ca)) as channel:
            metadata = (("authorization", f"Bearer {token(deployment)}"),)
            listed = await EndpointServiceStub(channel).ListServingEndpoints(
                ListServingEndpointsRequest(), metadata=metadata
            )
            assert list(listed.endpoints) == []

        # Whoever does not trust the CA, speaks no TLS, or an old one, does not get through.
        with pytest.raises(httpx.ConnectError):
            await get(deployment, ssl.create_default_context())
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(f"http://{target}{ENDPOINTS}")
        assert await negotiated(target, trusting(identity), ["h2", "http/1.1"]) == "h2"
        assert await negotiated(target, trusting(identity), ["http/1.1"]) == "http/1.1"
        await refuses_old_tls(target, identity)
        await serves_commands(deployment)
        await takes_a_new_certificate(deployment, identity, tmp_path / "renewed")


async def serves_commands(deployment: Deployment) -> None:
    """Commands of this machine know it by its certificate, whichever authority that is of."""
    arguments = ["users", "me", "--data-dir", str(deployment.data_dir)]
    process = await asyncio.create_subprocess_exec(
        *python_command("modelplane"), *arguments, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert said.startswith(f"admin at {deployment.state['url']}".encode())


async def refuses_old_tls(target: str, identity: CertificateDir) -> None:
    old = trusting(identity)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        await negotiated(target, old, ["http/1.1"])


async def takes_a_new_certificate(
    deployment: Deployment, identity: CertificateDir, path: Path
) -> None:
    before = deployment.pids
    renewed = CertificateDir(path)
    renewed.ensure(HOSTS, datetime.now(UTC))
    for suffix in ("key", "crt"):
        name = f"{CONTROL_PLANE}.{suffix}"
        (renewed.path / name).replace(identity.path / name)
    async with asyncio.timeout(120):
        while not await accepted(deployment, trusting(renewed)):
            await asyncio.sleep(0.05)
    assert deployment.pids == before


async def accepted(deployment: Deployment, tls: ssl.SSLContext) -> bool:
    try:
        return await get(deployment, tls) == 200
    except httpx.TransportError:
        # Not believed, or cut off by the listener that goes.
        return False


async def negotiated(target: str, tls: ssl.SSLContext, protocols: list[str]) -> str | None:
    """Return the protocol that the server chooses."""
    tls.set_alpn_protocols(protocols)
    host, _, port = target.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=tls)
    chosen: ssl.SSLObject = writer.get_extra_info("ssl_object")
    writer.close()
    return chosen.selected_alpn_protocol()


async def test_useless_files_are_refused_in_one_line(
    tmp_path: Path, identity: CertificateDir
) -> None:
    other = CertificateDir(tmp_path / "other")
    other.ensure(HOSTS, datetime.now(UTC))
    certificate, key = flags(identity)[1], flags(other)[3]
    for arguments, words in (
        (["--public-tls-cert", certificate, "--public-tls-key", key], "KEY_VALUES_MISMATCH"),
        (["--public-tls-cert", "none.crt", "--public-tls-key", key], "No such file"),
        (["--public-tls-cert", certificate], "belong together"),
    ):
        deployment = await start(tmp_path / "d", "--port", "0", *arguments)
        line = await deployment.until_said("modelplane up: ")
        assert words in line
        assert await deployment.process.wait() in (1, 2)
