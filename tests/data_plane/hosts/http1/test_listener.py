"""How many connections there are, for how long, and what becomes of them at a stop."""

import asyncio
import shutil
import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelplane.adapters.shared.rpc.tls import TlsFiles, reload, server_context
from modelplane.data_plane.hosts.http1.connection import Connection
from modelplane.data_plane.hosts.http1.listener import Bounds, Listener
from modelplane.deploy.certificates import CertificateDir
from tests.data_plane.hosts.raw_http import Client, Server, listening

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class Holding:
    """Answers when it is let go."""

    def __init__(self, name: bytes = b"one") -> None:
        self.name = name
        self.go = asyncio.Event()
        self.held = 0

    async def __call__(self, connection: Connection) -> None:
        self.held += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            return
        connection.respond(200, b"", self.name)


async def test_there_are_no_more_connections_than_allowed(tmp_path: Path) -> None:
    toy = Holding()
    toy.go.set()
    async with listening(toy, tmp_path, Bounds(connections=2)) as server:
        async with server.connected() as one, server.connected() as two:
            for client in (one, two):
                client.send(GET)
                assert (await client.answer()).status == 200
            async with server.connected() as three:
                assert await three.at_end()
        # The places become free when the server has heard of it.
        async with asyncio.timeout(120):
            while not await answers(server):
                await asyncio.sleep(0.01)


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def answers(server: Server) -> bool:
    async with server.connected() as client:
        client.send(GET)
        try:
            return (await client.answer()).status == 200
        except (AssertionError, ConnectionResetError):
            return False


async def test_a_drain_waits_for_what_is_under_way_and_for_nothing_else(tmp_path: Path) -> None:
    toy = Holding()
    async with (
        listening(toy, tmp_path) as server,
        server.connected() as busy,
        server.connected() as idle,
    ):
        busy.send(GET)
        while not toy.held:
            await asyncio.sleep(0.01)
        draining = asyncio.ensure_future(server.listener.drain(300))
        assert await idle.at_end()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_unix_connection(server.path)
        assert not draining.done()
        toy.go.set()
        answer = await busy.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        await asyncio.wait_for(draining, 120)


async def test_a_drain_does_not_wait_for_ever(tmp_path: Path) -> None:
    toy = Holding()
    async with listening(toy, tmp_path) as server, server.connected() as client:
        client.send(GET)
        while not toy.held:
            await asyncio.sleep(0.01)
        await asyncio.wait_for(server.listener.drain(0.05), 120)


async def test_a_path_is_taken_over_in_one_step(tmp_path: Path) -> None:
    old, new = Holding(b"old"), Holding(b"new")
    old.go.set()
    new.go.set()
    async with listening(old, tmp_path) as server, server.connected() as kept:
        assert stat.S_IMODE(server.path.stat().st_mode) == 0o600
        listener = Listener(new)
        async with listener.listening(f"unix:{server.path}", None):
            # Not before it is told to.
            async with server.connected() as early:
                early.send(GET)
                assert (await early.answer()).body == b"old"
            listener.take_over()
            async with server.connected() as late:
                late.send(GET)
                assert (await late.answer()).body == b"new"
            kept.send(GET)
            assert (await kept.answer()).body == b"old"
    assert names(tmp_path) == ["s"]


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(FileExistsError, match="is no socket"):
        async with Listener(Holding()).listening(f"unix:{tmp_path / 's'}", None):
            pass
    assert (tmp_path / "s").read_text() == "mine"


async def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="neither host:port nor unix:PATH"):
        async with Listener(Holding()).listening("nowhere", None):
            pass


async def test_over_tcp_only_those_with_a_certificate_are_heard(tmp_path: Path) -> None:
    certificates = CertificateDir(tmp_path)
    certificates.ensure(["127.0.0.1"], datetime.now(UTC))
    files = TlsFiles(
        tmp_path / "ca.crt", tmp_path / "control-plane.crt", tmp_path / "control-plane.key"
    )
    toy = Holding()
    toy.go.set()
    listener = Listener(toy)
    async with listener.listening("127.0.0.1:0", server_context(files)):
        known = ssl.create_default_context(cafile=str(files.ca))
        known.load_cert_chain(tmp_path / "worker.crt", tmp_path / "worker.key")
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=known)
        writer.write(GET)
        assert (await Client(reader, writer).answer()).status == 200
        writer.transport.abort()
        stranger = ssl.create_default_context(cafile=str(files.ca))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            # TLS 1.3 tells of it with the first answer only.
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=stranger)
            writer.write(GET)
            try:
                assert not await reader.read()
            finally:
                writer.transport.abort()
            raise ConnectionResetError
    assert toy.held == 1


async def test_new_certificates_hold_without_a_restart(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for directory in (old, new):
        CertificateDir(directory).ensure(["127.0.0.1"], datetime.now(UTC))
    served = TlsFiles(old / "ca.crt", old / "control-plane.crt", old / "control-plane.key")
    toy = Holding()
    toy.go.set()
    context = server_context(served)
    listener = Listener(toy)
    client = ssl.create_default_context(cafile=str(new / "ca.crt"))
    client.load_cert_chain(new / "worker.crt", new / "worker.key")
    async with listener.listening("127.0.0.1:0", context):
        reloading = asyncio.create_task(reload(context, served, 0.01))
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection("127.0.0.1", listener.port, ssl=client)
        for name in ("ca.crt", "control-plane.crt", "control-plane.key"):
            shutil.copy(new / name, old / name)
        async with asyncio.timeout(120):
            while not await gets_in(listener.port, client):
                await asyncio.sleep(0.02)
        reloading.cancel()


async def gets_in(port: int, context: ssl.SSLContext) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    except (ssl.SSLError, ConnectionError):
        return False
    writer.transport.abort()
    return True
