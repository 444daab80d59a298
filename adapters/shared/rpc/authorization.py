"""The `authorization` metadata: which token did the caller send?

Bearer tokens and the documented `curl -u token:$TOKEN` form are accepted (RFC 6750, RFC 7617).
"""

import base64
import binascii
import hashlib

# Why a token is refused, in the same words on both planes and at Envoy.
NOT_SENT = "No access token; send it as 'Authorization: Bearer <token>'."
UNKNOWN = "The access token is unknown; check it or ask for a new one."
EXPIRED = "The access token has expired; ask for a new one."
REVOKED = "The access token has been revoked; log in again."
INACTIVE_OWNER = "The access token's owner is not active; ask an administrator."

# Where clients of other APIs send what is a token here.
API_KEY_HEADERS = ("x-api-key", "x-goog-api-key")

_BEARER = "Bearer "


def parse_token(authorization: str | None) -> str | None:
    """Return the token in an `Authorization` header, None where there is none that can be read."""
    if authorization is None:
        return None
    if authorization.startswith(_BEARER):
        # As all clients write it.
        return authorization[len(_BEARER) :].strip() or None
    scheme, _, credentials = authorization.strip().partition(" ")
    credentials = credentials.strip()
    match scheme.lower():
        case "bearer":
            return credentials or None
        case "basic":
            return _parse_basic(credentials)
        case _:
            return None


def invalid_token(reason: str) -> str:
    """Return what to say of a token that does not verify."""
    return f"The access token is not valid: {reason}."


def digest(token: str) -> bytes:
    """Return the SHA-256 digest of a token: the only form in which a token is stored or pushed.

    Tokens are long and random, so a fast digest is enough: there is nothing to guess.
    """
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _parse_basic(credentials: str) -> str | None:
    try:
        user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return password if user == "token" and password else None
