"""Access tokens for a Google service account: a signed assertion, exchanged for a bearer token.

API: https://developers.google.com/identity/protocols/oauth2/service-account. Used by
`provider.py`; `credentials/cache.py` keeps what is fetched here.
"""

import hashlib
import json
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from joserfc.jwk import RSAKey
from joserfc.jws import serialize_compact

from modelplane.adapters.providers.credentials.cache import Credential
from modelplane.adapters.providers.credentials.oauth import fetch_token
from modelplane.adapters.providers.errors import (
    ConfigRefused,
)
from modelplane.adapters.providers.http.transport import HttpTransport
from modelplane.adapters.providers.types import JsonObject

DEFAULT_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_SECONDS = 3600
_WHAT_TO_GIVE = (
    "give the whole JSON key file of a service account, as Google Cloud's console downloads it "
    '(an object with "client_email" and "private_key")'
)


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """What a key file says about a service account."""

    client_email: str
    private_key: RSAPrivateKey = field(repr=False)
    key_id: str
    token_uri: str
    project_id: str


def parse_service_account(text: str) -> ServiceAccount:
    """Return the service account of a JSON key file.

    Line breaks of the private key may be real or written as backslash and n, as they often are
    after a way through shells and environments.

    Raises:
        ConfigRefused: It is no such file; the text says what to give instead.
    """
    key_file = _parse_object(text)
    kind = key_file.get("type", "service_account")
    if kind != "service_account":
        raise ConfigRefused(f"private_key is a JSON key of another type: {_WHAT_TO_GIVE}")
    for name in ("client_email", "private_key"):
        if not _text(key_file, name):
            raise ConfigRefused(f'private_key is JSON without "{name}": {_WHAT_TO_GIVE}')
    token_uri = _text(key_file, "token_uri") or DEFAULT_TOKEN_URI
    if not _is_https(token_uri):
        raise ConfigRefused('"token_uri" in private_key must be an https URL')
    return ServiceAccount(
        client_email=_text(key_file, "client_email"),
        private_key=_parse_pem(_text(key_file, "private_key")),
        key_id=_text(key_file, "private_key_id"),
        token_uri=token_uri,
        project_id=_text(key_file, "project_id"),
    )


class ServiceAccountTokens:
    """Exchanges signed assertions of one service account for access tokens."""

    __slots__ = ("_account", "_provider", "key")

    def __init__(self, provider: str, account: ServiceAccount) -> None:
        """Sign as `account`.

        Args:
            provider: Name that errors carry.
            account: Whose tokens to get.
        """
        self._provider = provider
        self._account = account
        public = account.private_key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        parts = (account.token_uri.encode(), account.client_email.encode(), public)
        self.key = "google:" + hashlib.sha256(b"\n".join(parts)).hexdigest()

    async def fetch(self, transport: HttpTransport, now: float) -> Credential:
        """Return a new access token; see `CredentialSource`."""
        form = {"grant_type": _GRANT, "assertion": build_assertion(self._account, now)}
        return await fetch_token(
            transport, self._provider, self._account.token_uri, form, "assertion", now
        )


def build_assertion(account: ServiceAccount, now: float) -> str:
    """Return the JSON Web Token by which `account` asks for an access token.

    Args:
        account: Who signs.
        now: Seconds since the epoch.
    """
    header = {"alg": "RS256", "typ": "JWT"}
    if account.key_id:
        header["kid"] = account.key_id
    claims = {
        "iss": account.client_email,
        "scope": _SCOPE,
        "aud": account.token_uri,
        "iat": int(now),
        "exp": int(now) + _ASSERTION_SECONDS,
    }
    return serialize_compact(header, orjson.dumps(claims), RSAKey.import_key(account.private_key))


def _parse_object(text: str) -> JsonObject:
    if text.lstrip().startswith("-----BEGIN"):
        raise ConfigRefused(
            "private_key is a bare PEM key, which does not say whose it is: " + _WHAT_TO_GIVE
        )
    try:
        # Not strict: pasted files have real line breaks inside the key.
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        # The error's own text would show where in the key it is.
        raise ConfigRefused(f"private_key is not JSON: {_WHAT_TO_GIVE}") from None
    if not isinstance(value, dict):
        raise ConfigRefused(f"private_key is not a JSON object: {_WHAT_TO_GIVE}")
    return value


def _parse_pem(pem: str) -> RSAPrivateKey:
    try:
        # Its primes are not checked: that takes 70 ms for each of thousands of entities, and
        # Google refuses what a wrong key signs.
        key = serialization.load_pem_private_key(
            pem.replace("\\n", "\n").encode(), None, unsafe_skip_rsa_key_validation=True
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigRefused(
            f'"private_key" in private_key is not an unencrypted RSA key in PEM: {_WHAT_TO_GIVE}'
        )
    return key


def _text(key_file: JsonObject, name: str) -> str:
    value = key_file.get(name)
    return value.strip() if isinstance(value, str) else ""


def _is_https(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname)
