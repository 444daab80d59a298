"""Every client of the deployment accepts an authority whose certificates hold no key identifiers.

Python 3.13 and later ask for them. `providers/http1/test_pool.py` shows the same for providers.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from modelplane.adapters.shared.oidc import IssuerUnavailable, fetch_keys
from modelplane.control_plane.secrets.stores.base import StoreAway
from modelplane.control_plane.secrets.stores.vault import VaultPlace, VaultStore
from modelplane.deploy.envoy.options import Address
from modelplane.deploy.local.http_client import HttpClient
from tests.adapters.providers.authority import Authority

_NOT_FOUND = (
    b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 13\r\n"
    b'connection: close\r\n\r\n{"errors":[]}'
)


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def trusted(authority: Authority, tmp_path: Path) -> Path:
    file = tmp_path / "authority.pem"
    file.write_bytes(authority.certificate)
    return file


@pytest.fixture
async def port(authority: Authority, tmp_path: Path) -> AsyncIterator[int]:
    async with finding_nothing(authority.identity("localhost"), tmp_path) as port:
        yield port


@asynccontextmanager
async def finding_nothing(identity: bytes, directory: Path) -> AsyncIterator[int]:
    """Serve HTTPS that answers each request with 404."""
    file = directory / "identity.pem"
    file.write_bytes(identity)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_NOT_FOUND)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]


async def test_an_issuer_is_heard(
    trusted: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with pytest.raises(IssuerUnavailable, match="answered status 404"):
        await fetch_keys(f"https://localhost:{port}")


async def test_vault_is_heard_when_its_authority_is_named(trusted: Path, port: int) -> None:
    place = VaultPlace(f"https://localhost:{port}", "secret", "models", ca_file=str(trusted))
    assert await VaultStore(place, lambda: "token").read(["key"]) == {}


async def test_vault_is_not_heard_under_an_authority_that_is_not_named(
    port: int, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(Authority().certificate)
    for file in (str(other), ""):
        place = VaultPlace(f"https://localhost:{port}", "secret", "models", ca_file=file)
        with pytest.raises(StoreAway, match="SSLError"):
            await VaultStore(place, lambda: "token").read(["key"])


async def test_vault_is_not_heard_under_another_name(trusted: Path, port: int) -> None:
    place = VaultPlace(f"https://127.0.0.1:{port}", "secret", "models", ca_file=str(trusted))
    with pytest.raises(StoreAway, match="SSLError"):
        await VaultStore(place, lambda: "token").read(["key"])


async def test_up_hears_its_own_port(trusted: Path, port: int) -> None:
    client = HttpClient(Address("127.0.0.1", port), certificate=str(trusted))
    assert (await client.call("GET", "/health")).status == 404
