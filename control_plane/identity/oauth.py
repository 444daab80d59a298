"""Logging in with a client secret: from the form of RFC 6749, section 4.4, to a token.

Before: `oauth_servicer`. After: `secrets.signing`, `store.identity.client_secrets`. Beside:
`client_secrets`.
"""

import base64
import binascii
import hmac
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from modelplane.adapters.shared.rpc.authorization import digest
from modelplane.control_plane.clock import Clock
from modelplane.control_plane.errors import (
    InvalidClient,
    InvalidLogin,
    InvalidScope,
    UnsupportedGrant,
)
from modelplane.control_plane.principal import PrincipalKind
from modelplane.control_plane.secrets.signing import SUBJECT, TOKEN_SECONDS, Signer
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.identity.client_secrets import (
    StoredClientSecret,
    list_client_secrets,
)
from modelplane.control_plane.store.identity.issuers import own_name
from modelplane.control_plane.store.identity.principals import find_principal
from modelplane.control_plane.store.secrets.signing_keys import load_signing_keys

CLIENT_CREDENTIALS = "client_credentials"
SCOPE = "all-apis"

_MAX_FORM_BYTES = 16 * 1024
_MAX_FIELDS = 32
_CONTENT_TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Login:
    """What a client asks for.

    Attributes:
        client_id: Application id of a service principal.
        client_secret: One of its secrets.
    """

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """What the deployment's own tokens are verified with.

    Attributes:
        issuer: The `iss` claim.
        keys: DER of each public key, by identifier.
    """

    issuer: str
    keys: Mapping[str, bytes]


class OAuth:
    """Issues tokens."""

    def __init__(self, database: Database, signer: Signer, clock: Clock) -> None:
        self._database = database
        self._signer = signer
        self._clock = clock

    async def issue(self, login: Login) -> str:
        """Return a token for the service principal, good for `TOKEN_SECONDS`.

        Raises:
            InvalidClient: There is no such client, or it is not active, or the secret is wrong: who
                asks is not told which.
            StoreUnavailable: The database does not answer.
        """
        async with self._database.read() as session:
            found = await find_principal(session, login.client_id)
            is_client = found is not None and found.kind is PrincipalKind.SERVICE_PRINCIPAL
            held = await list_client_secrets(session, found.id if found and is_client else "")
            name = await own_name(session)
            keys = await load_signing_keys(session)
        known = self._knows(held, login.client_secret)
        if found is None or not found.active or not known:
            raise InvalidClient("The client id or the client secret is wrong.")
        now = self._clock() // 1000
        claims = {
            "iss": name,
            "aud": name,
            SUBJECT: found.name,
            "client_id": found.name,
            "scope": SCOPE,
            # No earlier than what was voided, which may be in the same second.
            "iat": max(now, found.tokens_valid_from),
            "exp": now + TOKEN_SECONDS,
            "jti": uuid.uuid4().hex,
        }
        return await self._signer.sign(claims, keys)

    async def public_keys(self) -> PublicKeys:
        """Return what tokens are verified with.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        async with self._database.read() as session:
            name = await own_name(session)
            keys = await load_signing_keys(session)
        return PublicKeys(name, {key.id: key.public_key for key in keys})

    def _knows(self, held: Sequence[StoredClientSecret], secret: str) -> bool:
        given, now_ms = digest(secret), self._clock()
        matches = [
            hmac.compare_digest(item.digest, given) and item.expiry_ms > now_ms for item in held
        ]
        return any(matches)


def parse_login(content_type: str, form: bytes, authorization: str | None) -> Login:
    """Return what a form and an `Authorization` header ask for.

    Raises:
        InvalidLogin: The form is malformed.
        UnsupportedGrant: It asks for another grant.
        InvalidScope: It asks for another scope.
        InvalidClient: It does not say who asks.
    """
    fields = _parse_form(content_type, form)
    if not (grant := fields.get("grant_type")):
        raise InvalidLogin("grant_type is missing; send grant_type=client_credentials.")
    if grant != CLIENT_CREDENTIALS:
        raise UnsupportedGrant("The only grant_type that is offered is client_credentials.")
    # To ignore either would issue a token that may do more than what was asked for.
    if "authorization_details" in fields:
        raise InvalidLogin("authorization_details are not offered; leave them out.")
    if fields.get("scope", SCOPE).split() not in ([], [SCOPE]):
        raise InvalidScope(f"The only scope that is offered is {SCOPE}.")
    scheme, _, credentials = (authorization or "").strip().partition(" ")
    if scheme.lower() == "basic":
        return _parse_basic(credentials)
    client_id, secret = fields.get("client_id"), fields.get("client_secret")
    if not client_id or not secret:
        raise InvalidClient("Send the client id and the client secret, as HTTP Basic.")
    return Login(client_id, secret)


def _parse_form(content_type: str, form: bytes) -> dict[str, str]:
    if content_type.partition(";")[0].strip().lower() != _CONTENT_TYPE:
        raise InvalidLogin(f"Send the parameters as {_CONTENT_TYPE}.")
    if len(form) > _MAX_FORM_BYTES:
        raise InvalidLogin(f"The form is too long: at most {_MAX_FORM_BYTES} bytes are accepted.")
    try:
        pairs = parse_qsl(
            form.decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:
        raise InvalidLogin(f"The body is no {_CONTENT_TYPE} in UTF-8.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidLogin("A parameter is given twice.")
    return fields


def _parse_basic(credentials: str) -> Login:
    try:
        text = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    client_id, _, secret = text.partition(":")
    if not client_id or not secret:
        raise InvalidClient("Send the client id and the client secret as HTTP Basic.")
    return Login(client_id, secret)
