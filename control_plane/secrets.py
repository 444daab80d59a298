"""Use cases for secrets: named values in scopes, sealed at rest and never returned.

Before: `secret_servicer`. After: `encryption`, `store.secret_store`. A configuration refers to a
secret (`credentials`), so its users are told when the value changes.
"""

import re

from control_plane.clock import Clock
from control_plane.credentials import find_references, reference_to, secret_place
from control_plane.encryption import Sealer
from control_plane.endpoints import Rollout
from control_plane.errors import InvalidParameter, NotFound
from control_plane.permissions import require_admin
from control_plane.principal import Principal
from control_plane.store import endpoint_store, secret_store
from control_plane.store.database import Database, Transaction
from control_plane.store.endpoint_store import StoredEndpoint
from control_plane.store.secret_store import SecretName, StoredSecret
from control_plane.store.tables import EventKind

MAX_VALUE_BYTES = 128 * 1024

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class Secrets:
    """Creates scopes and puts secrets into them."""

    def __init__(self, database: Database, sealer: Sealer, rollout: Rollout, clock: Clock) -> None:
        self._database = database
        self._sealer = sealer
        self._rollout = rollout
        self._clock = clock

    async def create_scope(
        self, principal: Principal, scope: str, *, backend: str, manager: str
    ) -> None:
        """Create a scope.

        Raises:
            InvalidParameter: The name is malformed, or the scope would be of another kind.
            AlreadyExists: The name is taken.
        """
        require_admin(principal)
        _check_name("scope", scope)
        if backend not in ("", "DATABRICKS"):
            raise InvalidParameter(
                f"scope_backend_type '{backend}' is not available; leave it out or use DATABRICKS."
            )
        if manager not in ("", "users"):
            raise InvalidParameter(
                f"initial_manage_principal '{manager}' is not available; leave it out or use users."
            )
        async with self._database.write() as transaction:
            await secret_store.insert_scope(transaction, scope, principal.name, self._clock())

    async def list_scopes(self) -> list[str]:
        """Return the names of all scopes, in order."""
        async with self._database.read() as session:
            return await secret_store.list_scopes(session)

    async def delete_scope(self, principal: Principal, scope: str) -> None:
        """Delete a scope and the secrets in it.

        Raises:
            NotFound: There is no such scope.
        """
        require_admin(principal)
        async with self._database.write() as transaction:
            await _require_scope(transaction, scope)
            await secret_store.remove_scope(transaction, scope)
            revision = await _revise_users(transaction, scope, None)
        await self._applied(revision)

    async def put(self, principal: Principal, name: SecretName, value: bytes) -> None:
        """Store a secret, overwriting one with the same key; endpoints use the new value at once.

        Raises:
            InvalidParameter: The key is malformed, or the value too long.
            NotFound: There is no such scope.
        """
        require_admin(principal)
        scope, key = name
        _check_name("key", key)
        if len(value) > MAX_VALUE_BYTES:
            raise InvalidParameter(
                f"The secret has {len(value)} bytes; at most {MAX_VALUE_BYTES} are allowed."
            )
        sealed = self._sealer.seal(value, secret_place(name))
        async with self._database.write() as transaction:
            await _require_scope(transaction, scope)
            await secret_store.put_secret(transaction, name, sealed, self._clock())
            revision = await _revise_users(transaction, scope, key)
        await self._applied(revision)

    async def list_secrets(self, scope: str) -> list[StoredSecret]:
        """Return the keys of a scope, in order.

        Raises:
            NotFound: There is no such scope.
        """
        async with self._database.read() as session:
            if not await secret_store.has_scope(session, scope):
                raise _no_scope(scope)
            return await secret_store.list_secrets(session, scope)

    async def delete(self, principal: Principal, name: SecretName) -> None:
        """Delete a secret.

        Raises:
            NotFound: There is no such scope or secret.
        """
        require_admin(principal)
        scope, key = name
        async with self._database.write() as transaction:
            await _require_scope(transaction, scope)
            if not await secret_store.load_secrets(transaction.session, [name]):
                raise NotFound(f"Scope '{scope}' has no secret with the key '{key}'.")
            await secret_store.remove_secret(transaction, name)
            revision = await _revise_users(transaction, scope, key)
        await self._applied(revision)

    async def _applied(self, revision: int | None) -> None:
        if revision is not None:
            await self._rollout.wait_applied(revision)


async def _require_scope(transaction: Transaction, scope: str) -> None:
    if not await secret_store.has_scope(transaction.session, scope):
        raise _no_scope(scope)


def _no_scope(scope: str) -> NotFound:
    return NotFound(f"Scope '{scope}' does not exist; create it first.")


def _check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidParameter(
            f"{what} '{name[:100]}' is not allowed; use 1 to 128 letters, digits, '_', '.' and '-'."
        )


async def _revise_users(transaction: Transaction, scope: str, key: str | None) -> int | None:
    """Record a change of every endpoint that uses the secret (None: any of the scope)."""
    # An endpoint whose transaction read the old value has committed by now, or will read the new.
    await transaction.hold_revisions()
    start = reference_to((scope, key or "")).removesuffix("" if key else "}}")
    revision = None
    for endpoint in await endpoint_store.find_users_of(transaction.session, start):
        if _uses(endpoint, scope, key):
            revision = await transaction.revise(EventKind.ENDPOINT, endpoint.id)
    return revision


def _uses(endpoint: StoredEndpoint, scope: str, key: str | None) -> bool:
    return any(
        used[0] == scope and key in (None, used[1])
        for version in (endpoint.active, endpoint.pending)
        if version is not None
        for used in find_references(version[1])
    )
