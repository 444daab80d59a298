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


@dataclass(frozen=True, slots=True)
class Provider:
    """What a provider says of itself.

    Attributes:
        authorization: Where it asks a browser who is there.
        token: Where it takes codes.
        by_form: Whether it knows clients by what their form says alone.
    """

    authorization: str
    token: str
    by_form: bool


async def find_provider(issuer: str) -> Provider:
    """Ask a provider where its endpoints are.

    Raises:
        IssuerUnavailable: It did not answer as it should.
    """
    async with session_for_issuers() as session:
        found = await discover(session, issuer)
    methods = found.get("token_endpoint_auth_methods_supported")
    # What a provider takes that does not say so (OpenID Connect Discovery 1.0, section 3).
    known = methods if isinstance(methods, list) else [_BASIC]
    return Provider(
        _endpoint(found, "authorization_endpoint"),
        _endpoint(found, "token_endpoint"),
        _BASIC not in known and _POST in known,
    )


def authorization_url(provider: Provider, parameters: Mapping[str, str]) -> str:
    """Return the address at which a provider asks a browser who is there.

    Args:
        provider: The provider.
        parameters: What it is told.
    """
    # It may have a query of its own (RFC 6749, section 3.1).
    endpoint, _, own = provider.authorization.partition("?")
    return f"{endpoint}?{own + '&' if own else ''}{urlencode(parameters)}"


async def redeem(provider: Provider, client: Client, form: Mapping[str, str]) -> str:
    """Exchange a code for the ID token (OpenID Connect Core 1.0, section 3.1.3).

    Args:
        provider: The provider.
        client: This deployment.
        form: What it is told, but for the client.

    Raises:
        CodeRefused: It does not take the code, or not from this client.
        IssuerUnavailable: It did not answer as it should.
    """
    import aiohttp  # noqa: PLC0415 - much that only deployments with outside issuers need

    url = provider.token
    headers, more = _authentication(provider, client)
    async with session_for_issuers() as session:
        try:
            async with session.post(
                url, data={**form, **more}, headers=headers, allow_redirects=False
            ) as response:
                answer = await read_object(response, url)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
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


def _authentication(provider: Provider, client: Client) -> tuple[dict[str, str], dict[str, str]]:
    """Return the headers and the fields by which a provider knows the client."""
    if not client.client_secret:
        return {}, {"client_id": client.client_id}
    if provider.by_form:
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
