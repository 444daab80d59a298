"""A model server that is asked from another machine: everything over TLS."""

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelplane.adapters.shared.tls import pinned
from modelplane.launcher.local.reach import make_certificate
from modelplane.launcher.model_server.last_asked import LastAsked
from modelplane.launcher.model_server.server import Limits, Server

TOKEN = "a-token"


class Asked:
    """A model that answers with what it is asked, or streams until nobody listens."""

    ended = threading.Event()

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.stream = body == b"stream"

    def answer(self) -> bytes:
        if self._body == b"slow":
            time.sleep(1)
        return self._body

    def events(self) -> Iterator[bytes]:
        try:
            while True:
                yield b"data: {}\n\n"
                time.sleep(0.01)
        finally:
            self.ended.set()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[int, ssl.SSLContext]]:
    """Give the port of a server, and what believes it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = make_certificate(tmp_path / "tls.pem", "replica", None)
    context.load_cert_chain(tmp_path / "tls.pem")
    server = Server(lambda body, *_: Asked(body), TOKEN, Limits(1, 60, context), LastAsked(""))
    Asked.ended.clear()
    yield server.listen("127.0.0.1", 0), pinned(certificate)
    server.stop()


def ask(
    connection: http.client.HTTPConnection, body: bytes, within_ms: int = 60_000
) -> tuple[int, bytes]:
    headers = {"authorization": f"Bearer {TOKEN}", "x-modelplane-deadline-ms": str(within_ms)}
    connection.request("POST", "/invocations", body, headers)
    response = connection.getresponse()
    return response.status, response.read()


def test_requests_large_and_small_are_answered_on_one_connection(
    served: tuple[int, ssl.SSLContext],
) -> None:
    port, tls = served
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=30)
    with contextlib.closing(connection):
        for size in (0, 1, 100_000, 5_000_000, 2):
            assert ask(connection, b"x" * size) == (200, b"x" * size)
        status, said = ask(connection, b"slow", within_ms=300)
        assert status == 504
        assert json.loads(said)["error_code"] == "DEADLINE_EXCEEDED"


def test_who_leaves_a_stream_ends_it(served: tuple[int, ssl.SSLContext]) -> None:
    port, tls = served
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=30)
    headers = {"authorization": f"Bearer {TOKEN}"}
    connection.request("POST", "/invocations", b"stream", headers)
    response = connection.getresponse()
    assert response.readline() == b"data: {}\n"
    response.close()
    connection.close()
    assert Asked.ended.wait(30)


def test_who_speaks_no_tls_gets_nothing_and_takes_no_place(
    served: tuple[int, ssl.SSLContext], tmp_path: Path
) -> None:
    port, tls = served
    other = pinned(make_certificate(tmp_path / "other.pem", "replica", None))
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=30)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        socket.create_connection(("127.0.0.1", port), timeout=30),
        contextlib.closing(connection),
    ):
        plain.sendall(b"GET /ping HTTP/1.1\r\n\r\n")
        assert ask(connection, b"1") == (200, b"1")
        with contextlib.suppress(ConnectionResetError):
            # An alert of TLS at most.
            assert len(plain.recv(100)) < 10
        with (
            socket.create_connection(("127.0.0.1", port), timeout=30) as stranger,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            other.wrap_socket(stranger)
