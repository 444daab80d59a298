"""One HTTP call to a registry: bounded in time and size, its failures told in plain words.

Used by `mlflow`, `mlflow_artifacts` and `unity_catalog`.
"""

import base64
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

import aiohttp
import orjson

from modelplane.adapters.registries.base import (
    ModelNotFound,
    RegistryError,
    RegistryRefused,
    RegistryUnavailable,
)
from modelplane.adapters.shared.tls import client_context

_MAX_BYTES = 8 * 1024 * 1024
_ASK = aiohttp.ClientTimeout(total=10)
# A file may be long; a server that sends nothing for a minute is away.
_FETCH = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
_PIECE = 256 * 1024
_OK = 200
_REFUSED = (401, 403)
_SERVER_ERROR = 500
_MAX_MESSAGE = 300
_NOT_FOUND = (
    "RESOURCE_DOES_NOT_EXIST",
    # What MLflow says of an alias that there is not, with status 400.
    "INVALID_PARAMETER_VALUE",
    # Unity Catalog's.
    "NOT_FOUND",
    "CATALOG_NOT_FOUND",
    "SCHEMA_NOT_FOUND",
)
# What comes of a server that does not answer, or breaks off.
AWAY = (aiohttp.ClientError, TimeoutError, OSError, ValueError)


def authorization_header(authorization: str) -> Mapping[str, str]:
    """Return the header of a credential: `bearer TOKEN` or `basic USER:PASSWORD`; empty: none.

    Raises:
        ValueError: It is neither; the text does not repeat it.
    """
    if not authorization:
        return {}
    scheme, _, value = authorization.strip().partition(" ")
    value = value.strip()
    if not value or not value.isprintable():
        raise ValueError("write the credential as `bearer TOKEN` or `basic USER:PASSWORD`")
    match scheme.lower():
        case "bearer":
            return {"Authorization": f"Bearer {value}"}
        case "basic":
            given = base64.b64encode(value.encode()).decode() if ":" in value else value
            return {"Authorization": f"Basic {given}"}
    raise ValueError("write the credential as `bearer TOKEN` or `basic USER:PASSWORD`")


class RegistryCalls(AbstractAsyncContextManager["RegistryCalls"]):
    """The connections of one operation.

    Args:
        headers: Sent with each call.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        connector = aiohttp.TCPConnector(ssl=client_context())
        self._session = aiohttp.ClientSession(connector=connector, headers=headers, trust_env=True)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self._session.close()

    async def ask(
        self, url: str, query: Mapping[str, str], body: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """Return the JSON object that the registry answers with.

        Args:
            url: What to ask for.
            query: Parameters in the address.
            body: Posted as JSON; None: nothing is posted.

        Raises:
            RegistryError: It answers otherwise, or not at all.
        """
        content = await self.read(url, query, _MAX_BYTES, body)
        try:
            document = orjson.loads(content)
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, dict):
            raise RegistryUnavailable(
                "The model registry answers with no JSON; let the operator check its address."
            )
        return document

    async def read(
        self,
        url: str,
        query: Mapping[str, str],
        most: int,
        body: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return an answer of at most `most` bytes; of a longer one, one byte more than that.

        Raises:
            RegistryError: The registry refuses, or does not answer.
        """
        try:
            # A redirect could take the credential elsewhere.
            async with self._session.request(
                "GET" if body is None else "POST",
                url,
                params=query,
                json=body,
                timeout=_ASK,
                allow_redirects=False,
            ) as response:
                content = await _read_most(response, most)
        except AWAY as error:
            raise _away(error) from error
        if response.status != _OK:
            raise _refusal(response.status, content)
        return content

    async def fetch(self, url: str, size: int | None) -> AsyncGenerator[bytes]:
        """Yield the pieces of a file.

        Args:
            url: What to ask for.
            size: How many bytes it has; None: not known.

        Raises:
            RegistryError: The registry refuses, does not answer, or sends another number of bytes.
        """
        got = 0
        try:
            async with self._session.get(url, timeout=_FETCH, allow_redirects=False) as response:
                if response.status != _OK:
                    raise _refusal(response.status, await _read_most(response, _MAX_BYTES))
                async for piece in response.content.iter_chunked(_PIECE):
                    got += len(piece)
                    if size is not None and got > size:
                        break
                    yield piece
        except AWAY as error:
            raise _away(error) from error
        if size is not None and got != size:
            raise RegistryUnavailable(
                f"The model registry sends {got} bytes of a file that has {size}; try again later."
            )


async def _read_most(response: aiohttp.ClientResponse, most: int) -> bytes:
    content = b""
    while len(content) <= most and (more := await response.content.read(most + 1 - len(content))):
        content += more
    return content


def _refusal(status: int, content: bytes) -> RegistryError:
    if status in _REFUSED:
        return RegistryRefused(
            "The model registry refuses this deployment's credential "
            f"(status {status}); let the operator check MODELPLANE_REGISTRY_AUTHORIZATION."
        )
    code, message = _told(content)
    if status < _SERVER_ERROR and code in _NOT_FOUND:
        return ModelNotFound(message)
    said = f": {message}" if message else "; let the operator check its address."
    return RegistryUnavailable(f"The model registry answers with status {status}{said}")


def _told(content: bytes) -> tuple[str, str]:
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        return "", ""
    if not isinstance(document, dict):
        return "", ""
    code, message = document.get("error_code"), document.get("message")
    return str(code or ""), str(message or "")[:_MAX_MESSAGE]


def _away(error: Exception) -> RegistryUnavailable:
    return RegistryUnavailable(
        f"The model registry does not answer ({type(error).__name__}); try again later."
    )
