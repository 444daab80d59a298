"""Statements on scopes and the secrets in them, which stay sealed here.

Before: `secrets`. After: `tables`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import func, tuple_
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, delete, select, update

from modelplane.control_plane.errors import AlreadyExists
from modelplane.control_plane.principal import Permission
from modelplane.control_plane.store.codec import decode_levels, encode_levels
from modelplane.control_plane.store.database import Session, Transaction, is_storable
from modelplane.control_plane.store.tables import SecretRow, SecretScopeRow

# Backend of the scopes whose secrets this deployment itself keeps; the mirrored API calls it so.
OWN_BACKEND = "DATABRICKS"
# Above this, a query reads all rows: drivers limit the number of parameters.
_MAX_KEYS = 500

# Scope and key of a secret.
SecretName = tuple[str, str]


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """What may be known of a secret without its value."""

    key: str
    updated_ms: int


@dataclass(frozen=True, slots=True)
class StoredScope:
    """A scope.

    Attributes:
        name: Name.
        backend: What keeps its secrets.
        acl: Permissions by identifiers of principals and groups.
    """

    name: str
    backend: str
    acl: Mapping[str, Permission]


async def insert_scope(
    transaction: Transaction,
    name: str,
    creator: str,
    created_ms: int,
    *,
    acl: Mapping[str, Permission] | None = None,
    backend: str = OWN_BACKEND,
) -> None:
    """Store a new scope.

    Raises:
        AlreadyExists: The name is taken.
    """
    row = SecretScopeRow(
        name=name,
        creator=creator,
        created_ms=created_ms,
        acl_json=encode_levels(acl or {}),
        backend=backend,
    )
    transaction.session.add(row)
    try:
        await transaction.session.flush()
    except IntegrityError as error:
        raise AlreadyExists(f"Scope {name} already exists; choose another name.") from error


async def find_scope(session: Session, name: str, *, lock: bool = False) -> StoredScope | None:
    """Return the scope called `name`; locked, nobody else changes it or its secrets."""
    if not is_storable(name):
        return None
    query = select(SecretScopeRow).where(col(SecretScopeRow.name) == name)
    row = (await session.exec(query.with_for_update() if lock else query)).first()
    return _scope(row) if row else None


async def load_scopes(
    session: Session, names: Collection[str] | None = None, *, lock: bool = False
) -> list[StoredScope]:
    """Return the scopes `names` that exist, ordered by name; None: all.

    Locked, nobody changes or deletes them until the transaction ends; others may still read them.
    """
    query = select(SecretScopeRow)
    if lock:
        query = query.with_for_update(read=True)
    if names is not None and len(names) <= _MAX_KEYS:
        query = query.where(col(SecretScopeRow.name).in_([n for n in names if is_storable(n)]))
    scopes = [_scope(row) for row in (await session.exec(query)).all()]
    return sorted(
        (scope for scope in scopes if names is None or scope.name in names),
        key=lambda scope: scope.name,
    )


async def count_scopes(session: Session, creator: str | None = None) -> int:
    """Return the number of scopes, or of those that somebody has created."""
    query = select(func.count()).select_from(SecretScopeRow)
    if creator is not None:
        query = query.where(col(SecretScopeRow.creator) == creator)
    return (await session.exec(query)).one()


async def count_secrets(session: Session, scope: str) -> int:
    """Return the number of secrets in a scope."""
    query = select(func.count()).select_from(SecretRow)
    return (await session.exec(query.where(col(SecretRow.scope) == scope))).one()


async def set_acl(transaction: Transaction, name: str, acl: Mapping[str, Permission]) -> None:
    """Replace the access control list of a scope."""
    statement = update(SecretScopeRow).where(col(SecretScopeRow.name) == name)
    await transaction.session.exec(statement.values(acl_json=encode_levels(acl)))


async def set_backend(transaction: Transaction, name: str, backend: str) -> None:
    """Change what keeps the secrets of a scope."""
    statement = update(SecretScopeRow).where(col(SecretScopeRow.name) == name)
    await transaction.session.exec(statement.values(backend=backend))


async def remove_scope(transaction: Transaction, name: str) -> None:
    """Delete a scope and the secrets in it."""
    await transaction.session.exec(delete(SecretScopeRow).where(col(SecretScopeRow.name) == name))


async def put_secret(
    transaction: Transaction, name: SecretName, sealed: bytes, updated_ms: int
) -> None:
    """Store a secret, overwriting an older value; the scope exists."""
    scope, key = name
    await transaction.session.merge(
        SecretRow(scope=scope, key=key, sealed=sealed, updated_ms=updated_ms)
    )
    await transaction.session.flush()


async def remove_secret(transaction: Transaction, name: SecretName) -> None:
    """Delete a secret."""
    scope, key = name
    await transaction.session.exec(
        delete(SecretRow).where(col(SecretRow.scope) == scope, col(SecretRow.key) == key)
    )


async def list_secrets(session: Session, scope: str) -> list[StoredSecret]:
    """Return the keys of a scope, in order."""
    query = select(SecretRow.key, SecretRow.updated_ms).where(col(SecretRow.scope) == scope)
    return sorted(
        (StoredSecret(*row) for row in (await session.exec(query)).all()),
        key=lambda secret: secret.key,
    )


async def load_secrets(
    session: Session, names: Collection[SecretName]
) -> Mapping[SecretName, bytes]:
    """Return the sealed values of those secrets `names` that exist."""
    names = [(scope, key) for scope, key in names if is_storable(scope + key)]
    if not names:
        return {}
    query = select(SecretRow)
    if len(names) <= _MAX_KEYS:
        query = query.where(tuple_(col(SecretRow.scope), col(SecretRow.key)).in_(names))
    rows = (await session.exec(query)).all()
    return {(row.scope, row.key): row.sealed for row in rows}


def _scope(row: SecretScopeRow) -> StoredScope:
    return StoredScope(row.name, row.backend, decode_levels(row.acl_json, Permission))
