"""Logging in at an OpenID provider by a code: its endpoints, and the exchange of the code.

Used by the control plane's `sign_ins`. Beside: `oidc`, which fetches the provider's keys.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from modelplane.adapters.shared.oidc import (
    IssuerUnavailable,
    discover,
    is_trustworthy,
    read_object,
    session_for_issuers,
)

_BASIC = "client_secret_basic"
_POST = "client_secret_post"
_OK = 200
_BAD_REQUEST = 400
_UNAUTHORIZED = 401


class CodeRefused(Exception):
    """A provider takes no such code; the message says what it said."""


@dataclass(frozen=True, slots=True)
class Client:
    """Whom a provider knows this deployment as.

    Attributes:
        client_id: Identifier.
        client_secret: Secret; empty: none.
    """

    client_id: str
    client_secret: str


async def authorization_url(issuer: str, parameters: Mapping[str, str]) -> str:
    """Return the address at which a provider asks a browser who is there.

    Args:
        issuer: The provider.
        parameters: What it is told.

    Raises:
        IssuerUnavailable: It did not answer as it should.
    """
    async with session_for_issuers() as session:
        found = await discover(session, issuer)
    # It may have a query of its own (RFC 6749, section 3.1).
    endpoint, _, own = _endpoint(found, "authorization_endpoint").partition("?")
    return f"{endpoint}?{own + '&' if own else ''}{urlencode(parameters)}"


async def redeem(issuer: str, client: Client, form: Mapping[str, str]) -> str:
    """Exchange a code for the ID token (OpenID Connect Core 1.0, section 3.1.3).

    Args:
        issuer: The provider.
        client: This deployment.
        form: What it is told, but for the client.

    Raises:
        CodeRefused: It does not take the code, or not from this client.
        IssuerUnavailable: It did not answer as it should.
    """
    import aiohttp  # noqa: PLC0415 - much that only deployments with outside issuers need

    async with session_for_issuers() as session:
        found = await discover(session, issuer)
        url = _endpoint(found, "token_endpoint")
        headers, more = _authentication(found, client)
        try:
            async with session.post(
                url, data={**form, **more}, headers=headers, allow_redirects=False
            ) as response:
                answer = await read_object(response, url)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise IssuerUnavailable(f"{url} cannot be read: {type(error).__name__}") from error
    if status in (_BAD_REQUEST, _UNAUTHORIZED):
        raise CodeRefused(_said(answer))
    token = answer.get("id_token")
    if status != _OK or not isinstance(token, str):
        raise IssuerUnavailable(f"{url} answered status {status} without an ID token")
    return token


def _endpoint(found: Mapping[str, Any], name: str) -> str:
    url = found.get(name)
    if not isinstance(url, str) or not is_trustworthy(url.partition("?")[0]) or "#" in url:
        raise IssuerUnavailable(f"its discovery document names no https address as {name}")
    return url


def _authentication(
    found: Mapping[str, Any], client: Client
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the headers and the fields by which a provider knows the client."""
    if not client.client_secret:
        return {}, {"client_id": client.client_id}
    # What a provider takes that does not say so (OpenID Connect Discovery 1.0, section 3).
    methods = found.get("token_endpoint_auth_methods_supported", [_BASIC])
    if _BASIC not in methods and _POST in methods:
        return {}, {"client_id": client.client_id, "client_secret": client.client_secret}
    # Each part is encoded as in a form first (RFC 6749, section 2.3.1).
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    return {"authorization": f"Basic {b64encode(pair.encode()).decode()}"}, {}


def _said(answer: Mapping[str, Any]) -> str:
    """Return the error code of an answer, which is one of a few words (RFC 6749, section 5.2)."""
    code = answer.get("error")
    plain = isinstance(code, str) and code.replace("_", "").isalnum() and code.isascii()
    return str(code)[:60] if plain else "no reason"


def host_of(issuer: str) -> str:
    """Return what to call a provider in a message."""
    return urlsplit(issuer).netloc
