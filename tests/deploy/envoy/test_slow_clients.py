"""Clients that take for ever to say what they want, in plaintext and over TLS."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelplane.deploy.certificates import CONTROL_PLANE, CertificateDir
from modelplane.deploy.envoy import listener
from modelplane.deploy.envoy.options import Address
from tests.deploy.envoy.conftest import AS_IT_IS, TRANSCODED
from tests.deploy.envoy.envoys import running_envoy
from tests.deploy.envoy.toy_planes import ToyControlPlane
from tests.deploy.envoy.toy_worker import ToyWorker

ENDPOINTS = "/api/2.0/serving-endpoints"
# Attackers at a time; the honest caller is beside them.
MANY = 50
_PATIENCE_SECONDS = 1
# Between two calls of the honest caller, who is not to be the load here.
_PAUSE_SECONDS = 0.1


@pytest.fixture
def identity(tmp_path: Path) -> CertificateDir:
    directory = CertificateDir(tmp_path / "public")
    directory.ensure(["127.0.0.1"], datetime.now(UTC))
    return directory


@contextlib.asynccontextmanager
async def envoy(tmp_path: Path, identity: CertificateDir, *, tls: bool) -> AsyncIterator[Address]:
    """Run one whose patience is a second."""
    certificate = identity.path / CONTROL_PLANE
    options: dict[str, Any] = {}
    if tls:
        options["public_tls_cert"] = str(certificate.with_suffix(".crt"))
        options["public_tls_key"] = str(certificate.with_suffix(".key"))
    async with (
        ToyControlPlane() as control_plane,
        ToyWorker(Address.of_path(str(tmp_path / "worker.sock"))) as worker,
        running_envoy(tmp_path, control_plane.address, worker.address, **options) as (public, _),
    ):
        yield public


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUEST_SECONDS", "FIRST_BYTE_SECONDS", "HEADERS_SECONDS"):
        monkeypatch.setattr(listener, name, _PATIENCE_SECONDS)


def trusting(identity: CertificateDir) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=identity.path / "ca.crt")
    context.set_alpn_protocols(["http/1.1"])
    return context


def client_hello(identity: CertificateDir) -> bytes:
    """Return the first message of a handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    handshake = trusting(identity).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        handshake.do_handshake()
    return outgoing.read()


async def honest_calls(
    public: Address, identity: CertificateDir, attack: "asyncio.Future[list[bytes]]", *, tls: bool
) -> None:
    """Call on new connections while an attack lasts; each call must succeed.

    Those excepted for which this machine needs longer than Envoy has patience with anybody.
    """
    scheme, verify = ("https", trusting(identity)) if tls else ("http", False)
    time = asyncio.get_running_loop().time
    while not attack.done():
        began = time()
        status = 0
        with contextlib.suppress(httpx.TransportError):
            async with httpx.AsyncClient(verify=verify, trust_env=False, timeout=120) as client:
                answer = await client.get(
                    f"{scheme}://{public}{ENDPOINTS}", headers={"authorization": "Bearer known"}
                )
                status = answer.status_code
        assert status == 200 or time() - began >= _PATIENCE_SECONDS, status
        await asyncio.sleep(_PAUSE_SECONDS)


async def beside_honest_calls(
    public: Address,
    identity: CertificateDir,
    attack: Callable[[], Awaitable[bytes]],
    *,
    tls: bool,
) -> set[bytes]:
    """Attack many times at once, and return the first lines of what was answered."""
    attacks = asyncio.gather(*(attack() for _ in range(MANY)))
    await honest_calls(public, identity, attacks, tls=tls)
    return {answer.partition(b"\r\n")[0] for answer in await attacks}


async def until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Return what is answered; who goes on sending may be reset after it."""
    answer = b""
    with contextlib.suppress(OSError):
        while part := await reader.read(65_536):
            answer += part
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return answer


@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "tls"])
@pytest.mark.parametrize("path", [AS_IT_IS, TRANSCODED, ENDPOINTS])
async def test_a_request_that_arrives_by_the_byte_is_given_up(
    tmp_path: Path, identity: CertificateDir, path: str, *, tls: bool
) -> None:
    async with envoy(tmp_path, identity, tls=tls) as public:

        async def trickle() -> bytes:
            context = trusting(identity) if tls else None
            try:
                reader, writer = await asyncio.open_connection(
                    public.host, public.port, ssl=context
                )
            except OSError:
                return b""
            head = f"POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer known\r\n"
            writer.write(f"{head}content-length: 1000\r\n\r\n".encode())
            answer = asyncio.ensure_future(until_closed(reader, writer))
            while not writer.is_closing():
                # Never silent for so long that this would be what ends it.
                writer.write(b" ")
                await asyncio.sleep(0.1)
            return await answer

        found = await beside_honest_calls(public, identity, trickle, tls=tls)
    check_refused(found)


def check_refused(found: set[bytes]) -> None:
    """Check that attackers were refused, but for those whom a busy machine was too slow for."""
    assert {b"HTTP/1.1 400 Bad Request"} <= found <= {b"HTTP/1.1 400 Bad Request", b""}


async def test_headers_that_do_not_end_are_given_up_over_tls(
    tmp_path: Path, identity: CertificateDir
) -> None:
    async with envoy(tmp_path, identity, tls=True) as public:

        async def dribble() -> bytes:
            try:
                reader, writer = await asyncio.open_connection(
                    public.host, public.port, ssl=trusting(identity)
                )
            except OSError:
                return b""
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n")
            answer = asyncio.ensure_future(until_closed(reader, writer))
            while not writer.is_closing():
                writer.write(b"x: y\r\n")
                await asyncio.sleep(0.1)
            return await answer

        found = await beside_honest_calls(public, identity, dribble, tls=True)
    check_refused(found)


@pytest.mark.parametrize("said", ["nothing", "half", "whole"])
async def test_a_handshake_that_never_finishes_is_cut_off(
    tmp_path: Path, identity: CertificateDir, said: str
) -> None:
    hello = client_hello(identity)
    sent = {"nothing": b"", "half": hello[: len(hello) // 2], "whole": hello}[said]
    async with envoy(tmp_path, identity, tls=True) as public:

        async def begin() -> bytes:
            reader, writer = await asyncio.open_connection(public.host, public.port)
            writer.write(sent)
            return await until_closed(reader, writer)

        async with asyncio.timeout(120):
            found = await beside_honest_calls(public, identity, begin, tls=True)
    # A whole one was answered with the server's part of the handshake.
    assert all(bool(answer) == (said == "whole") for answer in found)
