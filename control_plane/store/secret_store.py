"""Statements on secrets, and on the credentials given with a configuration. All stay sealed here.

Before: `secrets`, `credentials`. After: `tables`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import tuple_
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from control_plane.errors import AlreadyExists
from control_plane.store.database import Transaction, is_storable
from control_plane.store.tables import (
    CredentialRow,
    EndpointRow,
    SecretRow,
    SecretScopeRow,
)

# Above this, a query reads all rows: drivers limit the number of parameters.
_MAX_KEYS = 500

# Scope and key of a secret.
SecretName = tuple[str, str]


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """What may be known of a secret without its value."""

    key: str
    updated_ms: int


async def insert_scope(transaction: Transaction, name: str, creator: str, created_ms: int) -> None:
    """Store a new scope.

    Raises:
        AlreadyExists: The name is taken.
    """
    transaction.session.add(SecretScopeRow(name=name, creator=creator, created_ms=created_ms))
    try:
        await transaction.session.flush()
    except IntegrityError as error:
        raise AlreadyExists(f"Scope {name} already exists; choose another name.") from error


async def has_scope(session: AsyncSession, name: str) -> bool:
    """Tell whether there is a scope called `name`."""
    if not is_storable(name):
        return False
    query = select(SecretScopeRow.name).where(col(SecretScopeRow.name) == name)
    return (await session.exec(query)).first() is not None


async def list_scopes(session: AsyncSession) -> list[str]:
    """Return the names of all scopes, in order."""
    return sorted((await session.exec(select(SecretScopeRow.name))).all())


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


async def list_secrets(session: AsyncSession, scope: str) -> list[StoredSecret]:
    """Return the keys of a scope, in order."""
    query = select(SecretRow.key, SecretRow.updated_ms).where(col(SecretRow.scope) == scope)
    return sorted(
        (StoredSecret(*row) for row in (await session.exec(query)).all()),
        key=lambda secret: secret.key,
    )


async def load_secrets(
    session: AsyncSession, names: Collection[SecretName]
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


async def load_credentials(
    session: AsyncSession, versions: Collection[tuple[str, int]]
) -> Mapping[tuple[str, int], dict[str, bytes]]:
    """Return the sealed credentials, by path, of (endpoint id, version) pairs.

    Many pairs at once must be active or pending versions, as a snapshot's are.
    """
    query = select(CredentialRow)
    if len(versions) <= _MAX_KEYS:
        pair = tuple_(col(CredentialRow.endpoint_id), col(CredentialRow.version))
        query = query.where(pair.in_(versions))
    else:
        current = (EndpointRow.active_version, EndpointRow.pending_version)
        query = query.join(EndpointRow).where(col(CredentialRow.version).in_(current))
    found: dict[tuple[str, int], dict[str, bytes]] = {}
    for row in (await session.exec(query)).all():
        found.setdefault((row.endpoint_id, row.version), {})[row.path] = row.sealed
    return found
