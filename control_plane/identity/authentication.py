"""Who is calling? From the `authorization` metadata to a principal.

Before: `interceptor`. After: `issuers`, `known_tokens`, `store.identity.owners`,
`store.identity.principals`.
"""

from modelplane.adapters.shared.jwt.tokens import TokenRefused, looks_like_jwt
from modelplane.adapters.shared.jwt.verifier import VerifiedToken
from modelplane.adapters.shared.rpc.authorization import (
    EXPIRED,
    INACTIVE_OWNER,
    NOT_SENT,
    REVOKED,
    UNKNOWN,
    digest,
    invalid_token,
    parse_token,
)
from modelplane.control_plane.clock import Clock
from modelplane.control_plane.errors import PermissionDenied, Unauthenticated
from modelplane.control_plane.identity.issuers import KnownIssuers
from modelplane.control_plane.identity.known_tokens import KnownTokens
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.identity.owners import find_owner
from modelplane.control_plane.store.identity.principals import find_principal


class Authenticator:
    """Knows principals by their tokens."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        issuers: KnownIssuers | None = None,
        tokens: KnownTokens | None = None,
    ) -> None:
        """Keep the collaborators.

        Args:
            database: Where principals and access tokens are.
            clock: The time.
            issuers: Verifies JWTs; None: none is accepted.
            tokens: Says of most unknown tokens that they are; None: the database is asked.
        """
        self._database = database
        self._clock = clock
        self._issuers = issuers
        self._tokens = tokens

    async def authenticate(self, authorization: str | None) -> Principal:
        """Return the principal that an `Authorization` header stands for.

        Raises:
            Unauthenticated: There is no token in it, or an unknown or expired one, or the principal
                is not active.
        """
        token = parse_token(authorization)
        if token is None:
            raise Unauthenticated(NOT_SENT)
        unknown = UNKNOWN
        if self._issuers is not None and looks_like_jwt(token):
            try:
                return await self._bearer(self._issuers.verify(token, digest(token)))
            except TokenRefused as error:
                # An admin token may hold points too.
                unknown = invalid_token(str(error))
        return await self._owner(digest(token), unknown)

    async def identify(self, id_token: str, issuer: str, client_id: str, nonce: str) -> Principal:
        """Return the principal of whom an issuer says in an ID token to be there.

        Args:
            id_token: The token.
            issuer: Who must have issued it.
            client_id: Whom it must be for.
            nonce: What it must repeat.

        Raises:
            PermissionDenied: Nobody of that name is in this deployment, or is not active.
            Unauthenticated: The token is not believed.
        """
        if self._issuers is None:
            raise Unauthenticated(UNKNOWN)
        try:
            verified = self._issuers.verify_id_token(id_token, issuer, client_id, nonce)
        except TokenRefused as error:
            raise Unauthenticated(invalid_token(str(error))) from error
        try:
            return await self._bearer(verified)
        except Unauthenticated as error:
            raise PermissionDenied(
                f"'{verified.principal_name}' is no active user here. An administrator creates "
                "users on the page Identity, or with POST /api/2.0/preview/scim/v2/Users."
            ) from error

    async def _bearer(self, verified: VerifiedToken) -> Principal:
        async with self._database.read() as session:
            found = await find_principal(session, verified.principal_name)
        if found is None or not found.active:
            raise Unauthenticated(INACTIVE_OWNER)
        if verified.issued_at < found.tokens_valid_from:
            raise Unauthenticated(REVOKED)
        return found.principal

    async def _owner(self, token_digest: bytes, unknown: str) -> Principal:
        if self._tokens is not None and not await self._tokens.has(token_digest):
            raise Unauthenticated(unknown)
        async with self._database.read() as session:
            found = await find_owner(session, token_digest)
        if found is None:
            raise Unauthenticated(unknown)
        if found.expiry_ms is not None and found.expiry_ms <= self._clock():
            raise Unauthenticated(EXPIRED)
        if not found.principal.active:
            raise Unauthenticated(INACTIVE_OWNER)
        return found.principal.principal
