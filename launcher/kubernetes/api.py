"""Calls of the API server of Kubernetes, as a service account.

Used by `cluster.py` and `mirror.py`. The account's token is read for each call: it is replaced
every hour or so (https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin).
"""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import orjson

from modelplane.adapters.shared.tls import client_context
from modelplane.launcher.cluster.cluster import ClusterAway

Document: TypeAlias = dict[str, Any]

_TIMEOUT = aiohttp.ClientTimeout(total=15)
# The server ends a watch sooner than that; one that says nothing for longer is dead.
_WATCH_SECONDS = 240
_WATCH_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_WATCH_SECONDS + 30)
# Far above a list of a few thousand pods.
_MOST_BYTES = 64 * 1024 * 1024
_MOST_LINE = 4 * 1024 * 1024
_MOST_MESSAGE = 500
_ERROR = 400
_MERGE = "application/merge-patch+json"


class Refused(ClusterAway):
    """The API server answers with an error.

    Attributes:
        status: Of HTTP.
        reason: As Kubernetes names it, for example `AlreadyExists`.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class Api:
    """The API server, for one service account.

    Args:
        server: Its URL.
        account: Directory of the account: `token`, and `ca.crt` of the server.
    """

    def __init__(self, server: str, account: Path) -> None:
        self._server = server.rstrip("/")
        self._account = account
        self._session: aiohttp.ClientSession | None = None

    async def aclose(self) -> None:
        """Close what is open."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, path: str, **query: str) -> Document:
        """Return an object or a list.

        Raises:
            Refused: The server says why not.
            ClusterAway: It does not answer.
        """
        return await self._ask("GET", path, query)

    async def get_text(self, path: str, **query: str) -> str:
        """Return what is no JSON, as a log; raises as `get`."""
        return (await self._send("GET", path, query)).decode(errors="replace")

    async def create(self, path: str, body: Document) -> Document:
        """Make an object, each of whose fields the server has to know; raises as `get`."""
        return await self._ask("POST", path, {"fieldValidation": "Strict"}, body)

    async def replace(self, path: str, body: Document) -> Document:
        """Replace an object, if it still has the version that the body names; raises as `get`."""
        return await self._ask("PUT", path, {"fieldValidation": "Strict"}, body)

    async def patch(self, path: str, body: Document) -> Document:
        """Change an object by a merge patch (RFC 7396); raises as `get`."""
        return await self._ask("PATCH", path, {"fieldValidation": "Strict"}, body)

    async def delete(self, path: str, uid: str) -> None:
        """Delete an object, if it still is that one, and what belongs to it; raises as `get`."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        await self._ask("DELETE", path, {}, options)

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Document]:
        """Yield events on a list, until the server ends them; raises as `get`."""
        asked = {**query, "watch": "true", "timeoutSeconds": str(_WATCH_SECONDS)}
        try:
            async with self._open().get(
                self._server + path,
                params=asked,
                headers=self._headers(),
                timeout=_WATCH_TIMEOUT,
                allow_redirects=False,
            ) as response:
                if response.status >= _ERROR:
                    raise _refused(response.status, await response.content.read(_MOST_LINE))
                async for line in response.content:
                    yield _parse(line)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _away(error) from error

    async def _ask(
        self, method: str, path: str, query: Mapping[str, str], body: Document | None = None
    ) -> Document:
        return _parse(await self._send(method, path, query, body))

    async def _send(
        self, method: str, path: str, query: Mapping[str, str], body: Document | None = None
    ) -> bytes:
        headers = self._headers()
        if body is not None:
            headers["content-type"] = _MERGE if method == "PATCH" else "application/json"
        try:
            async with self._open().request(
                method,
                self._server + path,
                params=dict(query),
                headers=headers,
                data=None if body is None else orjson.dumps(body),
                timeout=_TIMEOUT,
                allow_redirects=False,
            ) as response:
                found = bytearray()
                async for piece in response.content.iter_any():
                    found += piece
                    if len(found) > _MOST_BYTES:
                        raise ClusterAway("The API server's answer is too large.")
                if response.status >= _ERROR:
                    raise _refused(response.status, bytes(found))
                return bytes(found)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _away(error) from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = client_context(str(self._account / "ca.crt"))
            connector = aiohttp.TCPConnector(ssl=context)
            self._session = aiohttp.ClientSession(
                connector=connector, read_bufsize=_MOST_LINE, max_line_size=_MOST_LINE
            )
        return self._session

    def _headers(self) -> dict[str, str]:
        token = (self._account / "token").read_text().strip()
        return {"authorization": f"Bearer {token}", "accept": "application/json"}


def _parse(data: bytes) -> Document:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ClusterAway("The API server answers with something else than JSON.") from error
    if not isinstance(document, dict):
        raise ClusterAway("The API server answers with no object.")
    return document


def _refused(status: int, data: bytes) -> Refused:
    """Return what a `Status` object means (Kubernetes API, meta/v1)."""
    try:
        document = _parse(data)
    except ClusterAway:
        document = {}
    message = str(document.get("message", ""))[:_MOST_MESSAGE]
    return Refused(status, str(document.get("reason", "")), message or f"HTTP status {status}")


def _away(error: Exception) -> ClusterAway:
    return ClusterAway(f"The API server does not answer: {type(error).__name__}")
