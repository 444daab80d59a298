"""The token endpoint: verifies a signed assertion and gives an access token for it."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from tests.emulators.emulator import Json
from tests.emulators.google_cloud_vertex_ai.errors import GoogleError, TokenError
from tests.emulators.google_cloud_vertex_ai.keys import EMAIL, KEY_ID, PUBLIC_KEY, TOKEN_URI

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_SKEW_SECONDS = 300


class Tokens:
    """The access tokens given out.

    Attributes:
        valid: Tokens in force.
        audiences: Addresses of the token endpoint.
        count: Tokens given out so far.
        life_seconds: Life of the next token.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.valid: set[str] = set()
        self.audiences = {TOKEN_URI}
        self.count = 0
        self.life_seconds = 3599
        self._now = now

    def exchange(self, raw: bytes) -> Json:
        """Return the answer to a token request.

        Raises:
            TokenError: The request or its assertion is not right.
        """
        form = parse_qs(raw.decode(), strict_parsing=True)
        if form.get("grant_type") != [GRANT] or set(form) != {"grant_type", "assertion"}:
            raise TokenError("unsupported_grant_type", "Invalid grant_type")
        self._verify(form["assertion"][0])
        self.count += 1
        token = f"ya29.emulated-{self.count}"
        self.valid.add(token)
        return {"access_token": token, "expires_in": self.life_seconds, "token_type": "Bearer"}

    def check(self, authorization: str) -> None:
        """Refuse a call without a token in force.

        Raises:
            GoogleError: The call has none.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer" or token not in self.valid:
            message = "Request had invalid authentication credentials."
            raise GoogleError(message, status=401)

    def _verify(self, assertion: str) -> None:
        try:
            head, claims, signature = assertion.split(".")
            PUBLIC_KEY.verify(
                _decode(signature), f"{head}.{claims}".encode(), PKCS1v15(), hashes.SHA256()
            )
        except (ValueError, InvalidSignature):
            raise TokenError("invalid_grant", "Invalid JWT Signature.") from None
        self._check_head(json.loads(_decode(head)))
        self._check_claims(json.loads(_decode(claims)))

    def _check_head(self, head: dict[str, Any]) -> None:
        if head != {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}:
            raise TokenError("invalid_grant", "Invalid JWT header.")

    def _check_claims(self, claims: dict[str, Any]) -> None:
        if (
            set(claims) != {"iss", "scope", "aud", "iat", "exp"}
            or claims["aud"] not in self.audiences
        ):
            raise TokenError("invalid_grant", "Invalid JWT claims.")
        if claims["iss"] != EMAIL:
            raise TokenError("invalid_grant", "Invalid grant: account not found")
        if claims["scope"] != SCOPE:
            raise TokenError("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        life = claims["exp"] - claims["iat"]
        if not 0 < life <= 3600 or abs(self._now() - claims["iat"]) > _SKEW_SECONDS:
            message = "Invalid JWT: Token must be a short-lived token (60 minutes)."
            raise TokenError("invalid_grant", message)


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
