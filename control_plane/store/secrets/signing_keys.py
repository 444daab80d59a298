"""Statements on the key pairs that tokens are signed with; private keys stay sealed here.

Before: `secrets.signing`, `snapshots.builder`, `identity.oauth`. After: `tables`.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from sqlmodel import col, delete, select

from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.tables import SigningKeyRow


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair of this deployment."""

    id: str
    # DER of SubjectPublicKeyInfo.
    public_key: bytes = field(repr=False)
    sealed: bytes = field(repr=False)
    created_ms: int


def signing_key_place(key_id: str) -> bytes:
    """Return what binds a sealed private key to its row."""
    return f"signing-key/{key_id}".encode()


async def load_signing_keys(session: Session) -> list[SigningKey]:
    """Return the deployment's own key pairs, newest first."""
    order = (col(SigningKeyRow.created_ms).desc(), col(SigningKeyRow.id))
    rows = (await session.exec(select(SigningKeyRow).order_by(*order))).all()
    return [SigningKey(row.id, row.public_key, row.sealed, row.created_ms) for row in rows]


async def insert_signing_key(transaction: Transaction, key: SigningKey) -> None:
    """Store a key pair."""
    row = SigningKeyRow(
        id=key.id, public_key=key.public_key, sealed=key.sealed, created_ms=key.created_ms
    )
    transaction.session.add(row)
    await transaction.session.flush()


async def remove_signing_keys(transaction: Transaction, ids: Collection[str]) -> None:
    """Delete key pairs."""
    await transaction.session.exec(delete(SigningKeyRow).where(col(SigningKeyRow.id).in_(ids)))
