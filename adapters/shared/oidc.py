"""What an OpenID provider publishes: its discovery document, and the keys that it signs with.

Used by the control plane's `outside_issuers`. Nothing of what is fetched is believed beyond the
keys of the issuer that was asked for.
"""

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson
from modelserving.worker.v1.snapshot_pb2 import VerificationKey

from modelplane.adapters.shared.jwt.keys import KeyRefused, algorithm_of, encode_key, parse_jwk
from modelplane.adapters.shared.tls import client_context

if TYPE_CHECKING:
    import aiohttp

_MAX_BYTES = 1024 * 1024
_MAX_KEYS = 100
_TIMEOUT_SECONDS = 10
_OK = 200
_DISCOVERY = "/.well-known/openid-configuration"


class IssuerUnavailable(Exception):
    """An issuer did not answer as it should; the message says how."""


def is_trustworthy(url: str) -> bool:
    """Tell whether what a URL gives cannot be changed on its way: https, or this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or parts.query or parts.fragment or parts.username is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


async def fetch_keys(issuer: str) -> list[VerificationKey]:
    """Return the keys of an issuer that can be used.

    Raises:
        IssuerUnavailable: It did not answer as it should, or has no such key.
    """
    async with session_for_issuers() as session:
        found = await discover(session, issuer)
        url = found.get("jwks_uri")
        if not isinstance(url, str) or not is_trustworthy(url):
            raise IssuerUnavailable("its discovery document names no https address of its keys")
        keys = parse_keys(await _fetch(session, url))
    if not keys:
        raise IssuerUnavailable("it publishes no key that can be used")
    return keys


def session_for_issuers() -> "aiohttp.ClientSession":
    """Return what to ask issuers with, and to close."""
    import aiohttp  # noqa: PLC0415 - 7 MiB that only deployments with outside issuers need

    connector = aiohttp.TCPConnector(ssl=client_context())
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
    return aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=True)


async def discover(session: "aiohttp.ClientSession", issuer: str) -> Mapping[str, Any]:
    """Return the discovery document of an issuer.

    Raises:
        IssuerUnavailable: It did not answer as it should.
    """
    found = await _fetch(session, issuer.rstrip("/") + _DISCOVERY)
    if found.get("issuer") != issuer:
        raise IssuerUnavailable("its discovery document names another issuer")
    return found


def parse_keys(document: Mapping[str, Any]) -> list[VerificationKey]:
    """Return those keys of a JWK set (RFC 7517) that can verify signatures; the rest is skipped."""
    listed = document.get("keys")
    parsed = {}
    for item in listed[:_MAX_KEYS] if isinstance(listed, list) else ():
        key = _parse_key(item) if isinstance(item, dict) else None
        if key:
            parsed[key.key_id] = key
    return list(parsed.values())


async def _fetch(session: "aiohttp.ClientSession", url: str) -> Mapping[str, Any]:
    import aiohttp  # noqa: PLC0415 - as above

    try:
        # A redirect could lead away from what `is_trustworthy` has seen.
        async with session.get(url, allow_redirects=False) as response:
            if response.status != _OK:
                raise IssuerUnavailable(f"{url} answered status {response.status}")
            return await read_object(response, url)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise IssuerUnavailable(f"{url} cannot be read: {type(error).__name__}") from error


async def read_object(response: "aiohttp.ClientResponse", url: str) -> Mapping[str, Any]:
    """Return the JSON object that an issuer answered with.

    Raises:
        IssuerUnavailable: It is none, or is too large.
    """
    body = await response.content.read(_MAX_BYTES + 1)
    while len(body) <= _MAX_BYTES and (more := await response.content.read(_MAX_BYTES)):
        body += more
    if len(body) > _MAX_BYTES:
        raise IssuerUnavailable(f"{url} answered with more than {_MAX_BYTES} bytes")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise IssuerUnavailable(f"{url} answered with no JSON object")
    return document


def _parse_key(key: Mapping[str, Any]) -> VerificationKey | None:
    key_id = key.get("kid")
    if not isinstance(key_id, str) or not key_id or key.get("use", "sig") != "sig":
        return None
    try:
        public = parse_jwk(key)
        algorithm = algorithm_of(public)
    except KeyRefused:
        return None
    if key.get("alg", algorithm) != algorithm:
        return None
    return VerificationKey(key_id=key_id, algorithm=algorithm, public_key=encode_key(public))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
