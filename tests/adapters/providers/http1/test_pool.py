import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from modelplane.adapters.providers.errors import (
    ProviderTimeout,
    ProviderUnavailable,
    RequestRefused,
)
from modelplane.adapters.providers.http.client import Http1Transport
from modelplane.adapters.providers.http.transport import HttpTransport
from modelplane.adapters.providers.http1 import pool
from modelplane.adapters.providers.http1.connection import Connection
from modelplane.adapters.providers.types import HttpRequest
from tests.adapters.providers.authority import Authority
from tests.adapters.providers.upstream import EVENT_STREAM, Upstream, chunk, document

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@asynccontextmanager
async def serving(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def fetch(transport: HttpTransport, url: str) -> bytes:
    response = await transport.send(HttpRequest("p", url, {}, b"{}"))
    try:
        return await response.body()
    finally:
        response.close()


def idle(transport: Http1Transport) -> list[Connection]:
    assert transport._pool is not None
    return list(transport._pool._all_idle())


class Fickle:
    """Answers `answers` requests on each connection, then closes it when asked once more."""

    def __init__(self, answers: int, last: bytes = b"") -> None:
        self.connections = 0
        self.requests = 0
        self._answers = answers
        self._last = last

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            for _ in range(self._answers):
                await self._hear(reader)
                writer.write(document(b"ok"))
            await self._hear(reader)
            writer.write(self._last)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        self.requests += 1


async def test_a_request_on_a_connection_given_up_meanwhile_is_sent_again(
    transport: Http1Transport,
) -> None:
    server = Fickle(answers=1)
    async with serving(server) as port:
        for _ in range(3):
            assert await fetch(transport, f"http://127.0.0.1:{port}/") == b"ok"
    assert server.connections == 3


async def test_a_request_on_a_new_connection_is_sent_once(transport: Http1Transport) -> None:
    server = Fickle(answers=0)
    async with serving(server) as port:
        with pytest.raises(ProviderUnavailable):
            await fetch(transport, f"http://127.0.0.1:{port}/")
    assert server.requests == 1


async def test_a_request_that_was_partly_answered_is_sent_once(transport: Http1Transport) -> None:
    server = Fickle(answers=1, last=b"H")
    async with serving(server) as port:
        assert await fetch(transport, f"http://127.0.0.1:{port}/") == b"ok"
        with pytest.raises(ProviderUnavailable):
            await fetch(transport, f"http://127.0.0.1:{port}/")
    assert server.requests == 2


async def test_a_request_that_may_have_been_acted_on_is_sent_once(
    transport: Http1Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the server had taken its time before it closed.
    monkeypatch.setattr("modelplane.adapters.providers.http1.connection._STALE_SECONDS", 0.0)
    server = Fickle(answers=1)
    async with serving(server) as port:
        assert await fetch(transport, f"http://127.0.0.1:{port}/") == b"ok"
        with pytest.raises(ProviderUnavailable):
            await fetch(transport, f"http://127.0.0.1:{port}/")
    assert server.requests == 2


async def test_connections_closed_under_load_fail_no_request(transport: Http1Transport) -> None:
    server = Fickle(answers=7)

    async def ask(port: int) -> None:
        for _ in range(50):
            assert await fetch(transport, f"http://127.0.0.1:{port}/") == b"ok"

    async with serving(server) as port:
        await asyncio.gather(*[ask(port) for _ in range(8)])
    assert 400 / 7 <= server.connections <= 400


async def test_the_connection_used_last_is_reused_first(transport: Http1Transport) -> None:
    server = Fickle(answers=5)
    async with serving(server) as port:
        url = f"http://127.0.0.1:{port}/"
        assert await asyncio.gather(*[fetch(transport, url) for _ in range(3)]) == [b"ok"] * 3
        first, *_, last = idle(transport)
        await fetch(transport, url)
        assert idle(transport)[0] is first
        assert idle(transport)[-1] is last
    assert server.connections == 3


async def test_an_idle_connection_expires(transport: Http1Transport, upstream: Upstream) -> None:
    upstream.say(document(b"one"), document(b"two"))
    await fetch(transport, upstream.url)
    idle(transport)[0].idle_since -= 60
    await fetch(transport, upstream.url)
    assert upstream.connections == 2
    idle(transport)[0].idle_since -= 60
    assert transport._pool is not None
    transport._pool._expire()
    assert not idle(transport)
    assert transport._pool._expiry is None


async def test_an_answer_that_arrived_unread_keeps_its_connection(
    transport: Http1Transport, upstream: Upstream
) -> None:
    upstream.say(document(b"refused", "401 Unauthorized"), document(b"ok"))
    response = await transport.send(HttpRequest("p", upstream.url, {}, b"{}"))
    response.close()
    response.close()
    assert await fetch(transport, upstream.url) == b"ok"
    assert upstream.connections == 1
    with pytest.raises(RuntimeError):
        await response.read()


async def test_leaving_the_transport_closes_connections_in_use(upstream: Upstream) -> None:
    upstream.say(EVENT_STREAM, chunk(b"one"))
    async with Http1Transport() as transport:
        response = await transport.send(HttpRequest("p", upstream.url, {}, b"{}"))
        assert await response.read() == b"one"
    with pytest.raises(ProviderUnavailable):
        await response.read()
    response.close()
    with pytest.raises(RuntimeError):
        await fetch(transport, upstream.url)


async def test_no_address_without_leave_is_connected_to(upstream: Upstream) -> None:
    asked = []

    def refuse(host: str, address: str, port: int) -> bool:
        asked.append((host, address, port))
        return False

    port = upstream.url.rpartition(":")[2]
    inside = f"http://trusted.example:{port}"
    async with Http1Transport({inside: upstream.url}, refuse) as transport:
        upstream.say(document(b"ok"))
        assert await fetch(transport, inside) == b"ok"
        # The connection of the trusted stand-in is there, but is not for everyone.
        for url in (upstream.url, f"http://localhost:{port}"):
            with pytest.raises(RequestRefused):
                await fetch(transport, url)
    assert ("127.0.0.1", "127.0.0.1", int(port)) in asked
    assert {host for host, *_ in asked} == {"127.0.0.1", "localhost"}
    assert upstream.connections == 1


@pytest.mark.parametrize("url", ["http://user:pass@127.0.0.1/", "http://127.0.0.1/\r\nx:y"])
async def test_what_cannot_be_sent_is_refused(transport: Http1Transport, url: str) -> None:
    with pytest.raises(RequestRefused) as refusal:
        await fetch(transport, url)
    assert "pass" not in f"{refusal.value!r}{refusal.value.detail}"


async def test_cancelling_a_connect_leaves_nothing_open(transport: Http1Transport) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        address = listening.getsockname()
        # Who fills the backlog leaves others to wait for their connection.
        with socket.create_connection(address), pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await fetch(transport, f"http://127.0.0.1:{address[1]}/")
    assert transport._pool is not None
    assert not transport._pool._open


async def test_a_server_that_does_not_shake_hands_is_too_slow(
    transport: Http1Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        closed.set()
        writer.close()

    monkeypatch.setattr(pool, "_CONNECT_SECONDS", 0.1)
    async with serving(listen) as port:
        with pytest.raises(ProviderTimeout):
            await fetch(transport, f"https://127.0.0.1:{port}/")
        await asyncio.wait_for(closed.wait(), 60)


async def test_cancelling_a_tls_handshake_closes_the_connection(transport: Http1Transport) -> None:
    heard, closed = asyncio.Event(), asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        heard.set()
        await reader.read()
        closed.set()
        writer.close()

    async with serving(listen) as port:
        task = asyncio.create_task(fetch(transport, f"https://127.0.0.1:{port}/"))
        await asyncio.wait_for(heard.wait(), 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(closed.wait(), 60)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def trusted(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Return the authority that a transport trusts when it is opened."""
    file = tmp_path / "authority.pem"
    file.write_bytes(authority.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    return authority


@asynccontextmanager
async def serving_tls(identity: bytes, directory: Path) -> AsyncIterator[tuple[int, list[str]]]:
    file = directory / "identity.pem"
    file.write_bytes(identity)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    tls.set_alpn_protocols(["h2", "http/1.1"])
    protocols: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocols.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        try:
            while True:
                await reader.readuntil(b"{}")
                writer.write(document(b"ok"))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with serving(answer, tls) as port:
        yield port, protocols


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_trusted_server_is_spoken_to(trusted: Authority, tmp_path: Path, host: str) -> None:
    identity = trusted.identity(host)
    async with serving_tls(identity, tmp_path) as (port, protocols), Http1Transport() as transport:
        for _ in range(2):
            assert await fetch(transport, f"https://{host}:{port}/") == b"ok"
    assert protocols == ["http/1.1"]


@pytest.mark.parametrize("fault", ["wrong name", "expired", "self-signed", "unknown authority"])
async def test_a_server_that_proves_nothing_hears_nothing(
    trusted: Authority, tmp_path: Path, fault: str
) -> None:
    identity = {
        "wrong name": lambda: trusted.identity("elsewhere.example"),
        "expired": lambda: trusted.identity("localhost", expired=True),
        "self-signed": lambda: Authority("localhost").self_signed_identity(),
        "unknown authority": lambda: Authority("other").identity("localhost"),
    }[fault]()
    async with serving_tls(identity, tmp_path) as (port, protocols), Http1Transport() as transport:
        with pytest.raises(ProviderUnavailable) as failure:
            await fetch(transport, f"https://localhost:{port}/")
    assert failure.value.detail == "the provider's TLS certificate was not accepted"
    assert not protocols


async def test_a_server_without_tls_is_told_apart(transport: Http1Transport) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(document(b"plain"))
        writer.close()

    async with serving(answer) as port:
        with pytest.raises(ProviderUnavailable) as failure:
            await fetch(transport, f"https://127.0.0.1:{port}/")
    assert failure.value.detail == "no TLS connection to the provider could be made"
