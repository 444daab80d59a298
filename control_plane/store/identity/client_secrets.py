"""Statements on client secrets, which are known only by their digest.

Before: `client_secrets`, `oauth`. After: `tables`.
"""

from dataclasses import dataclass, field

from sqlmodel import col, delete, select

from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.tables import ClientSecretRow


@dataclass(frozen=True, slots=True)
class StoredClientSecret:
    """A secret that a service principal logs in with."""

    id: str
    principal_id: str
    digest: bytes = field(repr=False)
    created_ms: int
    expiry_ms: int


async def list_client_secrets(session: Session, principal_id: str) -> list[StoredClientSecret]:
    """Return the secrets of a service principal, oldest first."""
    query = (
        select(ClientSecretRow)
        .where(col(ClientSecretRow.principal_id) == principal_id)
        .order_by(col(ClientSecretRow.created_ms), col(ClientSecretRow.id))
    )
    rows = (await session.exec(query)).all()
    return [
        StoredClientSecret(row.id, row.principal_id, row.digest, row.created_ms, row.expiry_ms)
        for row in rows
    ]


async def insert_client_secret(transaction: Transaction, new: StoredClientSecret) -> None:
    """Store a secret."""
    transaction.session.add(
        ClientSecretRow(
            id=new.id,
            principal_id=new.principal_id,
            digest=new.digest,
            created_ms=new.created_ms,
            expiry_ms=new.expiry_ms,
        )
    )
    await transaction.session.flush()


async def remove_client_secret(transaction: Transaction, secret_id: str) -> None:
    """Delete a secret."""
    statement = delete(ClientSecretRow).where(col(ClientSecretRow.id) == secret_id)
    await transaction.session.exec(statement)
