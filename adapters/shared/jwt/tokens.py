"""Reading and signing one token: pure, strict, and bounded in what it takes.

`verifier` decides whether what was read may be believed.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import orjson
from cryptography.hazmat.primitives.asymmetric import ed25519

from modelplane.adapters.shared.jwt.keys import EDDSA

# Far above what issuers make, and far below what a request's headers may hold.
MAX_CHARACTERS = 16 * 1024
_PART = re.compile(r"[A-Za-z0-9_-]+")
_TYPES = {"jwt", "at+jwt", "application/at+jwt"}


class TokenRefused(Exception):
    """A token that is not believed; the message says why, and holds nothing of the token."""


class UnknownKey(TokenRefused):
    """A token of a known issuer, with a key identifier that is not known."""

    def __init__(self, issuer: str) -> None:
        super().__init__("it is signed with a key that its issuer has not published")
        self.issuer = issuer


@dataclass(frozen=True, slots=True)
class Jws:
    """A token that was read, not yet believed.

    Attributes:
        algorithm: What the header claims to be signed with.
        key_id: Key that the header names.
        claims: The claims.
        signed: What the signature is of.
        signature: The signature.
    """

    algorithm: str
    key_id: str
    claims: Mapping[str, Any] = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def looks_like_jwt(token: str) -> bool:
    """Tell whether a bearer token has the three parts of a compact JWS."""
    return token.count(".") == 2  # noqa: PLR2004 - between three parts


def parse(token: str) -> Jws:
    """Return the parts of a compact JWS.

    Raises:
        TokenRefused: It is none, or one that asks for more than is understood here.
    """
    if len(token) > MAX_CHARACTERS:
        raise TokenRefused("it is too long")
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature
        raise TokenRefused("it has not three parts")
    header = _parse_object(decode(parts[0]))
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not isinstance(key_id, str):
        raise TokenRefused("its header does not name one algorithm and one key")
    kind = header.get("typ", "JWT")
    # `crit` names extensions that must be understood; none is.
    if "crit" in header or not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise TokenRefused("its header asks for an unknown extension or type")
    claims = _parse_object(decode(parts[1]))
    signed = f"{parts[0]}.{parts[1]}".encode()
    return Jws(algorithm, key_id, claims, signed, decode(parts[2]))


def sign(claims: Mapping[str, Any], key_id: str, private: ed25519.Ed25519PrivateKey) -> str:
    """Return a token with these claims."""
    header = {"alg": EDDSA, "kid": key_id, "typ": "JWT"}
    signed = f"{encode(orjson.dumps(header))}.{encode(orjson.dumps(dict(claims)))}"
    return f"{signed}.{encode(private.sign(signed.encode()))}"


def encode(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(part: str) -> bytes:
    """Return what base64url without padding stands for.

    Raises:
        TokenRefused: It is none.
    """
    if not _PART.fullmatch(part):
        raise TokenRefused("a part of it is not base64url")
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        raise TokenRefused("a part of it is not base64url") from None
    # Else one token could be written in several ways.
    if encode(data) != part:
        raise TokenRefused("a part of it is not base64url")
    return data


def _parse_object(data: bytes) -> dict[str, Any]:
    try:
        # Not orjson, which keeps the last of two members of the same name.
        found = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise TokenRefused("a part of it is not the JSON that it should be") from None
    if not isinstance(found, dict):
        raise TokenRefused("a part of it is not a JSON object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
