"""Reading and signing one token: pure, strict, and bounded in what it takes.

`verifier` decides whether what was read may be believed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from cryptography.hazmat.primitives.asymmetric import ed25519
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry, extract_compact
from joserfc.util import json_b64encode, urlsafe_b64decode, urlsafe_b64encode

from modelplane.adapters.shared.jwt.keys import EDDSA

# Far above what issuers make, and far below what a request's headers may hold.
MAX_CHARACTERS = 16 * 1024
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


class _Sizes(JWSRegistry):
    """Bounds of the parts, for the library: those of the whole, which is bounded already."""

    max_header_length = MAX_CHARACTERS
    max_signature_length = MAX_CHARACTERS


_SIZES = _Sizes()


def parse(token: str) -> Jws:
    """Return the parts of a compact JWS.

    Raises:
        TokenRefused: It is none, or one that asks for more than is understood here.
    """
    if len(token) > MAX_CHARACTERS:
        raise TokenRefused("it is too long")
    try:
        read = extract_compact(token.encode(), registry=_SIZES)
        signature = urlsafe_b64decode(read.segments["signature"])
    except (JoseError, ValueError, RecursionError):
        raise TokenRefused("it is not three parts of base64url with a header in JSON") from None
    header: object = read.protected
    if not isinstance(header, dict):
        raise TokenRefused("its header is not a JSON object")
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not isinstance(key_id, str):
        raise TokenRefused("its header does not name one algorithm and one key")
    kind = header.get("typ", "JWT")
    # `crit` names extensions that must be understood; none is.
    if "crit" in header or not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise TokenRefused("its header asks for an unknown extension or type")
    signed = read.segments["header"] + b"." + read.segments["payload"]
    return Jws(algorithm, key_id, _parse_object(read.payload), signed, signature)


def sign(claims: Mapping[str, Any], key_id: str, private: ed25519.Ed25519PrivateKey) -> str:
    """Return a token with these claims."""
    header = {"alg": EDDSA, "kid": key_id, "typ": "JWT"}
    signed = json_b64encode(header) + b"." + json_b64encode(dict(claims))
    return f"{signed.decode()}.{encode(private.sign(signed))}"


def encode(data: bytes) -> str:
    """Return base64url without padding."""
    return urlsafe_b64encode(data).decode()


def _parse_object(data: bytes) -> dict[str, Any]:
    try:
        # Not the library, which keeps the last of two members of the same name.
        found = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise TokenRefused("its claims are not the JSON that they should be") from None
    if not isinstance(found, dict):
        raise TokenRefused("its claims are no JSON object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
