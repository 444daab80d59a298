"""Gets an access token from a token endpoint (RFC 6749, section 5), for whatever grant.

Used by the `CredentialSource` of each provider that has such tokens.
"""

from collections.abc import Mapping
from urllib.parse import urlencode

import orjson

from modelplane.adapters.providers.credentials.cache import Credential
from modelplane.adapters.providers.errors import (
    AdapterError,
    CredentialRefused,
    MalformedAnswer,
    classify,
    parse_retry_after,
)
from modelplane.adapters.providers.http.transport import HttpTransport
from modelplane.adapters.providers.types import HttpRequest

_OK = 200
_TOO_MANY_REQUESTS = 429
_FIRST_SERVER_ERROR = 500
_DEFAULT_LIFE_SECONDS = 3600.0


async def fetch_token(
    transport: HttpTransport,
    provider: str,
    url: str,
    form: Mapping[str, str],
    proof: str,
    now: float,
) -> Credential:
    """Return the access token that a token endpoint gives for `form`.

    Args:
        transport: Sends the request.
        provider: Name that errors carry.
        url: URL of the token endpoint.
        form: Grant, and what proves the right to it.
        proof: Field of the form that is a secret.
        now: Seconds since the epoch.

    Raises:
        CredentialRefused: The proof was refused.
        AdapterError: The endpoint could not be reached, or gave no token.
    """
    headers = {"content-type": "application/x-www-form-urlencoded"}
    request = HttpRequest(provider, url, headers, urlencode(form).encode())
    request.secrets = (form[proof],)
    response = await transport.send(request)
    try:
        body = await response.body()
    finally:
        response.close()
    if response.status != _OK:
        wait = parse_retry_after(response.headers)
        raise _refused(provider, response.status, body, wait).conceal(request.secrets)
    return _parse_token(provider, body, now)


def _refused(provider: str, status: int, body: bytes, retry_after: int | None) -> AdapterError:
    try:
        detail: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        detail = f"the token endpoint answered HTTP status {status}"
    temporary = status == _TOO_MANY_REQUESTS or status >= _FIRST_SERVER_ERROR
    # The caller's request has nothing to do with it: 400 here is a refused key.
    cls = classify(status) if temporary else CredentialRefused
    return cls(provider, detail, retry_after)


def _parse_token(provider: str, body: bytes, now: float) -> Credential:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token or not (token.isascii() and token.isprintable()):
        raise MalformedAnswer(provider, "the token endpoint answered without a token")
    life = answer.get("expires_in")
    seconds = float(life) if isinstance(life, int | float) else _DEFAULT_LIFE_SECONDS
    return Credential((token,), now + seconds)
