"""Use cases for secrets: named values in scopes, sealed at rest and never returned.

Before: `servicer`. After: `lookup`, `encryption`, `references`, `store.secrets.scopes`.
Beside: `scope_acls`. A configuration refers to a secret (`credentials`), so its users are told when
the value changes.
"""

import re
from collections.abc import Mapping

from modelplane.control_plane.access import level_of, permission_of
from modelplane.control_plane.clock import Clock
from modelplane.control_plane.errors import (
    InvalidParameter,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
    StoreUnavailable,
)
from modelplane.control_plane.principal import USERS, USERS_ID, Permission, Principal
from modelplane.control_plane.rollout import Rollout
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.lookup import find_scope, lock_scope
from modelplane.control_plane.secrets.references import (
    require_no_users,
    require_unused,
    revise_users,
)
from modelplane.control_plane.secrets.stores.base import SecretStore, StoreAway
from modelplane.control_plane.store.database import Database, Session
from modelplane.control_plane.store.endpoints.references import SecretUse, find_uses
from modelplane.control_plane.store.secrets.scopes import (
    OWN_BACKEND,
    SecretName,
    StoredScope,
    StoredSecret,
    count_scopes,
    count_secrets,
    insert_scope,
    list_secrets,
    load_scopes,
    load_secrets,
    put_secret,
    remove_scope,
    remove_secret,
)
from modelplane.control_plane.store.secrets.sealed import secret_place

MAX_VALUE_BYTES = 128 * 1024
MAX_SCOPES = 1_000
# Of whoever is no administrator.
MAX_SCOPES_OF_ONE = 100
MAX_SECRETS = 1_000
_MAX_USES = 1_000

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class Secrets:
    """Creates scopes and puts secrets into them."""

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        rollout: Rollout,
        clock: Clock,
        stores: Mapping[str, SecretStore] | None = None,
    ) -> None:
        """Keep the collaborators.

        Args:
            database: Where scopes and secrets are stored.
            sealer: Seals the values.
            rollout: Tells when the workers have followed.
            clock: The time.
            stores: Other stores by the scopes whose secrets they keep.
        """
        self._database = database
        self._sealer = sealer
        self._rollout = rollout
        self._clock = clock
        self._stores = stores or {}

    async def create_scope(
        self, principal: Principal, scope: str, *, backend: str, manager: str
    ) -> None:
        """Create a scope, which the principal manages.

        Raises:
            InvalidParameter: The name is malformed, or an endpoint refers to it, or the scope would
                be of another kind.
            AlreadyExists: The name is taken.
            QuotaExceeded: The principal has created too many scopes.
            LimitExceeded: There are too many scopes.
        """
        _check_name("scope", scope)
        if backend not in ("", OWN_BACKEND):
            raise InvalidParameter(
                f"scope_backend_type '{backend[:100]}' is not available; leave it out or use "
                f"{OWN_BACKEND}. Scopes of other stores are declared by the operator."
            )
        if manager not in ("", USERS):
            raise InvalidParameter(
                f"initial_manage_principal '{manager[:100]}' is not available; leave it out or use "
                f"{USERS}."
            )
        acl = {principal.id: Permission.MANAGE}
        if manager:
            acl[USERS_ID] = Permission.MANAGE
        now_ms = self._clock()
        async with self._database.write() as transaction:
            count = await count_scopes(transaction.session)
            own = await count_scopes(transaction.session, principal.name)
            await insert_scope(transaction, scope, principal.name, now_ms, acl=acl)
            if own >= MAX_SCOPES_OF_ONE and not principal.admin:
                raise QuotaExceeded(
                    f"You have created {own} scopes, and may create {MAX_SCOPES_OF_ONE}; delete "
                    "one first, or let an administrator create it."
                )
            if count >= MAX_SCOPES:
                raise LimitExceeded(
                    f"There are {count} scopes, and no more than {MAX_SCOPES} are allowed; delete "
                    "one first."
                )
            await require_unused(transaction, scope)

    async def list_scopes(self, principal: Principal) -> list[StoredScope]:
        """Return the scopes that the principal may see, ordered by name."""
        async with self._database.read() as session:
            scopes = await load_scopes(session)
        return [scope for scope in scopes if permission_of(principal, scope.acl)]

    async def delete_scope(self, principal: Principal, name: str) -> None:
        """Delete a scope and the secrets in it.

        Raises:
            NotFound: There is no such scope.
            PermissionDenied: The principal does not manage it.
            InvalidParameter: The operator has declared it.
            Conflict: An endpoint uses a secret in it.
        """
        async with self._database.write() as transaction:
            await lock_scope(transaction, principal, name, Permission.MANAGE)
            if name in self._stores:
                raise InvalidParameter(
                    f"Scope '{name}' is declared by the operator in MODELPLANE_SECRET_STORES; it "
                    "can be deleted once it no longer is."
                )
            await require_no_users(transaction, principal, name, None)
            await remove_scope(transaction, name)

    async def put(self, principal: Principal, name: SecretName, value: bytes) -> None:
        """Store a secret, overwriting one with the same key; endpoints use the new value at once.

        Raises:
            InvalidParameter: The key is malformed, the value too long, or the scope of another
                store.
            NotFound: There is no such scope.
            PermissionDenied: The principal may not write to it.
            LimitExceeded: It holds too many secrets.
        """
        scope, key = name
        _check_name("key", key)
        if len(value) > MAX_VALUE_BYTES:
            raise InvalidParameter(
                f"The secret has {len(value)} bytes; at most {MAX_VALUE_BYTES} are allowed."
            )
        # Before the transaction, since the master key may be at a service that is slow to answer.
        sealed = await self._sealer.seal(value, secret_place(name))
        async with self._database.write() as transaction:
            _check_own(await lock_scope(transaction, principal, scope, Permission.WRITE))
            if not self._sealer.is_current(sealed):
                # A key that was replaced just now may be dropped soon.
                sealed = await self._sealer.seal(value, secret_place(name))
            await put_secret(transaction, name, sealed, self._clock())
            count = await count_secrets(transaction.session, scope)
            if count > MAX_SECRETS:
                raise LimitExceeded(
                    f"Scope '{scope}' holds {MAX_SECRETS} secrets, the most that are allowed; "
                    "delete one first, or use another scope."
                )
            revision = await revise_users(transaction, name)
        if revision is not None:
            await self._rollout.wait_applied(revision)

    async def check_get(self, principal: Principal, name: SecretName) -> None:
        """Refuse to return a secret, for a reason that fits.

        Raises:
            NotFound: There is no such scope or secret.
            PermissionDenied: There is one.
        """
        async with self._database.read() as session:
            await find_scope(session, principal, name[0], Permission.READ)
            await _require_secret(session, name)
        raise PermissionDenied(
            "The values of secrets are not returned to anyone; refer to this one as "
            f"{{{{secrets/{name[0]}/{name[1]}}}}} in an endpoint's configuration."
        )

    async def list_secrets(self, principal: Principal, name: str) -> list[StoredSecret]:
        """Return the keys of a scope, in order.

        Raises:
            NotFound: There is no such scope.
            StoreUnavailable: Another store keeps its secrets and does not answer.
        """
        async with self._database.read() as session:
            await find_scope(session, principal, name, Permission.READ)
            stored = await list_secrets(session, name)
        if name not in self._stores:
            return stored
        try:
            keys = await self._stores[name].list_keys()
        except StoreAway as error:
            raise StoreUnavailable(f"The store of scope '{name}' does not answer.") from error
        known = {secret.key: secret.updated_ms for secret in stored}
        return [StoredSecret(key, known.get(key, 0)) for key in sorted(keys)]

    async def list_uses(
        self, principal: Principal, name: str, key: str | None
    ) -> tuple[list[SecretUse], int]:
        """Return who uses the secrets of a scope, and how many others do.

        The others are of endpoints that the principal may not see, or beyond the first thousand.

        Raises:
            NotFound: There is no such scope.
            InvalidParameter: No secret can have such a key.
        """
        if key is not None:
            _check_name("key", key)
        async with self._database.read() as session:
            await find_scope(session, principal, name, Permission.READ)
            uses = await find_uses(session, name, key)
        seen = [use for use in uses if level_of(principal, use.grants)][:_MAX_USES]
        return seen, len(uses) - len(seen)

    async def delete(self, principal: Principal, name: SecretName) -> None:
        """Delete a secret.

        Raises:
            InvalidParameter: The scope is of another store.
            NotFound: There is no such scope or secret.
            PermissionDenied: The principal may not write to the scope.
            Conflict: An endpoint uses it.
        """
        scope, key = name
        async with self._database.write() as transaction:
            _check_own(await lock_scope(transaction, principal, scope, Permission.WRITE))
            await _require_secret(transaction.session, name)
            await require_no_users(transaction, principal, scope, key)
            await remove_secret(transaction, name)


async def _require_secret(session: Session, name: SecretName) -> None:
    if not await load_secrets(session, [name]):
        raise NotFound(f"Scope '{name[0]}' has no secret with the key '{name[1][:200]}'.")


def _check_own(scope: StoredScope) -> None:
    if scope.backend != OWN_BACKEND:
        raise InvalidParameter(
            f"The secrets of scope '{scope.name}' are kept in {scope.backend}; change them there."
        )


def _check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidParameter(
            f"{what} '{name[:100]}' is not allowed; use 1 to 128 letters, digits, '_', '.' and '-'."
        )
