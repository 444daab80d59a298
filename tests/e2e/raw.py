"""Sends requests byte by byte as given: what no HTTP client would send."""

import contextlib
import json
import socket
from dataclasses import dataclass
from http.client import HTTPResponse

from tests.e2e.rest import Json
from tests.e2e.system import System

_SECONDS = 120


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """What came back."""

    method: bytes
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Json:
        """Return the JSON object in the body."""
        parsed = json.loads(self.body)
        assert isinstance(parsed, dict)
        return parsed


def send(
    system: System,
    method: bytes,
    target: bytes,
    body: bytes = b"",
    headers: tuple[bytes, ...] = (),
) -> RawAnswer:
    """Send one request over a connection of its own.

    Raises:
        TimeoutError: No answer came; the server hangs.
    """
    lines = (
        method + b" " + target + b" HTTP/1.1",
        b"Host: modelplane",
        b"Authorization: Bearer " + system.token.encode(),
        b"Content-Type: application/json",
        b"Content-Length: " + str(len(body)).encode(),
        b"Connection: close",
        *headers,
    )
    host, _, port = system.target.partition(":")
    with socket.create_connection((host, int(port)), timeout=_SECONDS) as connection:
        # The server may answer, and close, before it has read all; the answer counts.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        response = HTTPResponse(connection, method=method.decode("latin-1"))
        response.begin()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return RawAnswer(method, response.status, fields, response.read())


def check(answer: RawAnswer) -> None:
    """Assert what holds for the answer to any request, however bad: refused politely, or served."""
    assert answer.status < 500 or answer.status == 501, answer
    assert not 300 <= answer.status < 400, answer
    assert answer.headers.get("x-request-id"), answer
    if answer.status >= 400 and answer.method != b"HEAD":
        assert answer.headers["content-type"].startswith("application/json"), answer
        error = answer.json()
        assert isinstance(error["error_code"], str), answer
        assert isinstance(error["message"], str), answer
        assert error["error_code"], answer
        assert error["message"], answer
        assert answer.status != 501 or error["error_code"] == "NOT_IMPLEMENTED", answer
