"""Brings secrets of other stores into this deployment's own, sealed, and keeps them up to date.

A secret is read when a configuration first refers to it, and again at every interval. From there
on it is like any other: a new value is a new revision of the endpoints that use it, and while its
store is away, the value read last stays in force, also over a restart.

Before: `endpoints.lifecycle`, `server`. After: `stores`, `references`, `store.secrets.scopes`.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from modelserving.v1.endpoint_pb2 import EndpointConfig

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.access import permission_of
from modelplane.control_plane.clock import Clock
from modelplane.control_plane.errors import AlreadyExists, InvalidParameter, StoreUnavailable
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.secrets.credentials import find_references
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.references import require_unused, revise_users
from modelplane.control_plane.secrets.scopes import MAX_VALUE_BYTES
from modelplane.control_plane.secrets.stores.base import SecretStore, StoreAway
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.secrets.scopes import (
    OWN_BACKEND,
    SecretName,
    find_scope,
    insert_scope,
    list_secrets,
    load_scopes,
    load_secrets,
    put_secret,
    remove_secret,
    set_backend,
)
from modelplane.control_plane.store.secrets.sealed import secret_place

_log = logging.getLogger(__name__)

_OPERATOR = "operator"


class SecretSync:
    """Copies secrets from the declared stores, by scope."""

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        stores: Mapping[str, SecretStore],
        clock: Clock,
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._stores = stores
        self._clock = clock
        # Scopes whose stores did not answer the last time.
        self._away: set[str] = set()

    async def declare(self) -> None:
        """Make the declared scopes, which only administrators may use at first.

        Raises:
            ValueError: A scope of that name keeps secrets of its own, or an endpoint refers to one
                that did.
        """
        for scope, store in self._stores.items():
            try:
                async with self._database.write() as transaction:
                    now_ms = self._clock()
                    await insert_scope(transaction, scope, _OPERATOR, now_ms, backend=store.backend)
                    await require_unused(transaction, scope)
            except AlreadyExists:
                await self._declare_again(scope, store)
            except InvalidParameter as error:
                raise ValueError(f"MODELPLANE_SECRET_STORES: {error}") from error

    async def fetch(self, principal: Principal, config: EndpointConfig) -> None:
        """Take over the secrets that `config` refers to, as far as the principal may read them.

        Raises:
            InvalidParameter: A reference is malformed.
            StoreUnavailable: A store does not answer, and its secret was never read before.
        """
        names = [name for name in find_references(config) if name[0] in self._stores]
        if not names:
            return
        async with self._database.read() as session:
            found = await load_scopes(session, {scope for scope, _ in names})
            known = await load_secrets(session, names)
        readable = {item.name for item in found if permission_of(principal, item.acl)}
        for scope, keys in _by_scope(name for name in names if name[0] in readable).items():
            if not await self._take(scope, keys) and any((scope, k) not in known for k in keys):
                raise StoreUnavailable(
                    f"The store of scope '{scope}' does not answer; please retry."
                )

    async def refresh(self) -> None:
        """Read all secrets again that were ever used."""
        for scope in self._stores:
            async with self._database.read() as session:
                stored = await list_secrets(session, scope)
            if stored:
                await self._take(scope, [secret.key for secret in stored])

    async def run(self, interval_seconds: float) -> None:
        """Refresh at every interval until cancelled."""
        while True:
            await asyncio.sleep(interval_seconds)
            try:
                await self.refresh()
            except StoreUnavailable as error:
                _log.warning("secrets were not refreshed", extra=log_fields(error=str(error)))

    async def _take(self, scope: str, keys: Collection[str]) -> bool:
        """Store what changed of `keys`; return False when the store does not answer."""
        try:
            values = await self._stores[scope].read(keys)
        except StoreAway as error:
            if scope not in self._away:
                self._away.add(scope)
                fields = {"scope": scope, "reason": str(error)}
                _log.warning("a store of secrets is away", extra=log_fields(**fields))
            return False
        if scope in self._away:
            self._away.remove(scope)
            _log.info("a store of secrets is back", extra=log_fields(scope=scope))
        for key in keys:
            await self._apply((scope, key), values.get(key))
        return True

    async def _apply(self, name: SecretName, value: bytes | None) -> None:
        if value is not None and not _is_usable(name, value):
            return
        if await self._stored_value(name) == value:
            return
        # Before the transaction, since the master key may be at a service that is slow to answer.
        sealed = None if value is None else await self._sealer.seal(value, secret_place(name))
        async with self._database.write() as transaction:
            if await find_scope(transaction.session, name[0], lock=True) is None:
                return
            if sealed is None:
                await remove_secret(transaction, name)
            else:
                await put_secret(transaction, name, sealed, self._clock())
            await revise_users(transaction, name)
        _log.info("a secret changed in its store", extra=log_fields(scope=name[0], key=name[1]))

    async def _stored_value(self, name: SecretName) -> bytes | None:
        async with self._database.read() as session:
            sealed = (await load_secrets(session, [name])).get(name)
        if sealed is None:
            return None
        (value,) = await self._sealer.open_all([(sealed, secret_place(name))])
        # What cannot be opened has to be replaced; no secret is equal to this.
        return value if isinstance(value, bytes) else bytes(MAX_VALUE_BYTES + 1)

    async def _declare_again(self, scope: str, store: SecretStore) -> None:
        async with self._database.write() as transaction:
            found = await find_scope(transaction.session, scope, lock=True)
            if found is not None and found.backend == OWN_BACKEND:
                raise ValueError(
                    f"MODELPLANE_SECRET_STORES: scope '{scope}' exists and keeps secrets of its "
                    "own; choose another name, or delete it first."
                )
            await set_backend(transaction, scope, store.backend)


def _by_scope(names: Iterable[SecretName]) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = defaultdict(list)
    for scope, key in names:
        keys[scope].append(key)
    return keys


def _is_usable(name: SecretName, value: bytes) -> bool:
    if len(value) <= MAX_VALUE_BYTES:
        return True
    fields = {"scope": name[0], "key": name[1], "bytes": len(value)}
    _log.error("a secret in another store is too long", extra=log_fields(**fields))
    return False
