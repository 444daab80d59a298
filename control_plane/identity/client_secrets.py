"""Use cases for the secrets that service principals log in with.

Before: `client_secret_servicer`. After: `access`, `store.identity.client_secrets`. Beside:
`oauth`, which they are shown to.
"""

import re
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from modelplane.adapters.shared.rpc.authorization import digest
from modelplane.control_plane.access import require_admin
from modelplane.control_plane.clock import Clock
from modelplane.control_plane.errors import InvalidParameter, NotFound, QuotaExceeded
from modelplane.control_plane.principal import Principal, PrincipalKind
from modelplane.control_plane.rollout import Rollout
from modelplane.control_plane.store.database import Database, Session, is_storable
from modelplane.control_plane.store.identity.client_secrets import (
    StoredClientSecret,
    insert_client_secret,
    list_client_secrets,
    remove_client_secret,
)
from modelplane.control_plane.store.identity.principals import (
    StoredPrincipal,
    load_principals,
    update_principal,
)

MAX_SECRETS = 5
MAX_LIFETIME_SECONDS = 730 * 86_400

_PREFIX = "dose"
_RANDOM_BYTES = 16
_LIFETIME = re.compile(r"([0-9]{1,12})(\.0{1,9})?s?")


@dataclass(frozen=True, slots=True)
class CreatedClientSecret:
    """A new secret, shown once.

    Attributes:
        value: The secret itself.
        stored: What is known of it.
    """

    value: str = field(repr=False)
    stored: StoredClientSecret


class ClientSecrets:
    """Creates, lists and deletes client secrets."""

    def __init__(self, database: Database, rollout: Rollout, clock: Clock) -> None:
        self._database = database
        self._rollout = rollout
        self._clock = clock

    async def create(
        self, caller: Principal, principal_id: str, *, lifetime: str | None, scopes: Sequence[str]
    ) -> CreatedClientSecret:
        """Create a secret of a service principal.

        Args:
            caller: Who asks.
            principal_id: Identifier of the service principal.
            lifetime: Seconds until it expires, such as `60s`; None: the longest.
            scopes: What tokens issued for it may do; empty: everything.

        Raises:
            PermissionDenied: The caller is no administrator.
            NotFound: There is no such service principal.
            InvalidParameter: The lifetime or the scopes are not possible.
            QuotaExceeded: The service principal has too many secrets.
        """
        require_admin(caller)
        if set(scopes) - {"all-apis"}:
            raise InvalidParameter("scopes must be ['all-apis'] or left out.")
        seconds = _parse_lifetime(lifetime)
        value = _PREFIX + secrets.token_hex(_RANDOM_BYTES)
        now_ms = self._clock()
        new = StoredClientSecret(
            id=str(uuid.uuid4()),
            principal_id=principal_id,
            digest=digest(value),
            created_ms=now_ms,
            expiry_ms=now_ms + seconds * 1000,
        )
        async with self._database.write() as transaction:
            # So that secrets made at the same time are counted.
            await transaction.hold_revisions()
            await _find(transaction.session, principal_id)
            held = await list_client_secrets(transaction.session, principal_id)
            expired = [item for item in held if item.expiry_ms <= now_ms]
            for item in expired:
                await remove_client_secret(transaction, item.id)
            if len(held) - len(expired) >= MAX_SECRETS:
                raise QuotaExceeded(
                    f"The service principal has {MAX_SECRETS} secrets already; delete one first."
                )
            await insert_client_secret(transaction, new)
        return CreatedClientSecret(value, new)

    async def list_all(self, caller: Principal, principal_id: str) -> list[StoredClientSecret]:
        """Return the secrets of a service principal, oldest first.

        Raises:
            PermissionDenied: The caller is no administrator.
            NotFound: There is no such service principal.
        """
        require_admin(caller)
        async with self._database.read() as session:
            await _find(session, principal_id)
            return await list_client_secrets(session, principal_id)

    async def delete(self, caller: Principal, principal_id: str, secret_id: str) -> None:
        """Delete a secret; all tokens issued to the service principal so far are void.

        A worker does not know which secret a token was issued for, so tokens issued for the other
        ones are void too; who holds one of those logs in again.

        Raises:
            PermissionDenied: The caller is no administrator.
            NotFound: There is no such service principal, or it has no such secret.
        """
        require_admin(caller)
        async with self._database.write() as transaction:
            await transaction.hold_revisions()
            owner = await _find(transaction.session, principal_id)
            held = await list_client_secrets(transaction.session, principal_id)
            if secret_id not in {item.id for item in held}:
                raise NotFound(
                    f"The service principal has no client secret with the id '{secret_id[:100]}'."
                )
            await remove_client_secret(transaction, secret_id)
            revision = await update_principal(transaction, owner.void_tokens(self._clock()))
        await self._rollout.wait_applied(revision)


def _parse_lifetime(lifetime: str | None) -> int:
    if lifetime is None:
        return MAX_LIFETIME_SECONDS
    found = _LIFETIME.fullmatch(lifetime)
    seconds = int(found[1]) if found else 0
    if not 0 < seconds <= MAX_LIFETIME_SECONDS:
        raise InvalidParameter(
            f"lifetime must be in seconds, from '1s' to '{MAX_LIFETIME_SECONDS}s'."
        )
    return seconds


async def _find(session: Session, principal_id: str) -> StoredPrincipal:
    found = await load_principals(session, [principal_id] if is_storable(principal_id) else [])
    if not found or found[0].kind is not PrincipalKind.SERVICE_PRINCIPAL:
        raise NotFound(f"There is no service principal with the id '{principal_id[:100]}'.")
    return found[0]
