"""Who is calling? From the `authorization` metadata to a principal.

Before: `interceptor`. After: `store.token_store`, `store.principal_store`.
"""

from contextvars import ContextVar

from adapters.rpc.authorization import digest, parse_token
from control_plane.clock import Clock
from control_plane.errors import Unauthenticated
from control_plane.principal import Principal
from control_plane.store.database import Database
from control_plane.store.principal_store import load_principals
from control_plane.store.token_store import find_token

# Principal of the RPC that runs in this context; set by the interceptor.
current_principal: ContextVar[Principal] = ContextVar("current_principal")


class Authenticator:
    """Knows principals by their tokens."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def authenticate(self, authorization: str | None) -> Principal:
        """Return the principal that an `Authorization` header stands for.

        Raises:
            Unauthenticated: There is no token in it, or an unknown or expired one, or the principal
                is not active.
        """
        token = parse_token(authorization)
        if token is None:
            raise Unauthenticated("No access token; send it as 'Authorization: Bearer <token>'.")
        async with self._database.read() as session:
            stored = await find_token(session, digest(token))
            owners = await load_principals(session, [stored.principal_id] if stored else [])
        if stored is None:
            raise Unauthenticated("The access token is unknown; check it or ask for a new one.")
        if stored.expiry_ms is not None and stored.expiry_ms <= self._clock():
            raise Unauthenticated("The access token has expired; ask for a new one.")
        if not owners or not owners[0].active:
            raise Unauthenticated("The access token's owner is not active; ask an administrator.")
        return owners[0].principal
