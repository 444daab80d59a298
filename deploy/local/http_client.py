"""Small HTTP calls to this machine: the public API, workers, and Envoy's admin page.

Used by `supervisor.py`, `renewal.py` and `envoy_admin.py`; plain `http.client`, so that no proxy
setting of the environment comes between.
"""

import asyncio
import http.client
import json
import socket
import ssl
from dataclasses import dataclass, field
from typing import Any

from modelplane.adapters.shared.tls import client_context
from modelplane.deploy.envoy.options import Address

_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body; status 0 when there was no answer."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the call succeeded."""
        return self.status == http.client.OK

    @property
    def message(self) -> str:
        """What an answer that is an error says; a word on the status where it says nothing."""
        told = self.json()
        said = told.get("message") if isinstance(told, dict) else None
        return said if isinstance(said, str) else f"HTTP {self.status}"

    def json(self) -> Any:  # noqa: ANN401 - JSON has any type
        """Return the body, parsed; None when it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class HttpClient:
    """Calls one server.

    Attributes:
        address: Its address.
        token: Bearer token to send; empty for none.
        certificate: File of the certificate that it must present; empty for plaintext.
    """

    address: Address
    token: str = field(default="", repr=False)
    certificate: str = ""

    async def call(self, method: str, path: str, body: object = None) -> Answer:
        """Send a request, with `body` as JSON unless it is None; never raises for the network."""
        return await asyncio.to_thread(self._call, method, path, body)

    def _call(self, method: str, path: str, body: object) -> Answer:
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            connection = self._connection()
        except OSError:
            return Answer(0, b"")
        try:
            connection.request(
                method, path, None if body is None else json.dumps(body), headers=headers
            )
            response = connection.getresponse()
            return Answer(response.status, response.read())
        except (OSError, http.client.HTTPException):
            return Answer(0, b"")
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self.address.path:
            return _UnixConnection(self.address.path)
        where = (self.address.host, self.address.port)
        if not self.certificate:
            return http.client.HTTPConnection(*where, timeout=_TIMEOUT_SECONDS)
        # The certificate is for a public name, not for this address: it is known by itself.
        context = client_context(self.certificate)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return http.client.HTTPSConnection(*where, timeout=_TIMEOUT_SECONDS, context=context)


class _UnixConnection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the path in place of the host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
