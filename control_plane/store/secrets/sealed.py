"""Statements on all sealed values alike, whatever they belong to: to wrap them with another key.

A table with a sealed column has a row in `SEALED`. Before: `credentials`, `rotation`. After:
`tables`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, select, tuple_, update
from sqlmodel import col

from modelplane.control_plane.store.database import Database, Session, Transaction
from modelplane.control_plane.store.secrets.signing_keys import signing_key_place
from modelplane.control_plane.store.tables import CredentialRow, SecretRow, SigningKeyRow

# Primary key of a row.
_Key = tuple[str | int, ...]


def secret_place(name: tuple[str, str]) -> bytes:
    """Return what binds a sealed secret to its row."""
    return "/".join(("secret", *name)).encode()


def credential_place(endpoint_id: str, version: int, path: str) -> bytes:
    """Return what binds a sealed credential to its row."""
    return f"credential/{endpoint_id}/{version}/{path}".encode()


@dataclass(frozen=True, slots=True)
class SealedTable:
    """A table with sealed values.

    Attributes:
        table: The table; its column `sealed` holds them.
        key: Columns of its primary key.
        place: From the values of these columns to what the value is bound to.
    """

    table: Any
    key: Sequence[str]
    place: Callable[..., bytes]

    @property
    def name(self) -> str:
        """Name of the table."""
        return str(self.table.__tablename__)


SEALED: Sequence[SealedTable] = (
    SealedTable(SecretRow, ("scope", "key"), lambda *name: secret_place(name)),
    SealedTable(CredentialRow, ("endpoint_id", "version", "path"), credential_place),
    SealedTable(SigningKeyRow, ("id",), signing_key_place),
)


@dataclass(frozen=True, slots=True)
class SealedValue:
    """A sealed value and where it is."""

    key: _Key
    place: bytes
    sealed: bytes = field(repr=False)


async def read_sealed(
    session: Session, table: SealedTable, after: _Key | None, limit: int
) -> list[SealedValue]:
    """Return up to `limit` sealed values of a table whose keys follow `after`, in order."""
    columns = [col(getattr(table.table, name)) for name in table.key]
    query = select(*columns, col(table.table.sealed)).order_by(*columns).limit(limit)
    if after is not None:
        query = query.where(tuple_(*columns) > tuple_(*after))
    rows = (await (await session.connection()).execute(query)).all()
    return [SealedValue(tuple(row[:-1]), table.place(*row[:-1]), row[-1]) for row in rows]


async def replace_sealed(
    transaction: Transaction, table: SealedTable, value: SealedValue, sealed: bytes
) -> bool:
    """Store `sealed` in place of `value`; return False when that is no longer there."""
    columns = [col(getattr(table.table, name)) for name in table.key]
    same = [column == part for column, part in zip(columns, value.key, strict=True)]
    statement = (
        update(table.table)
        .where(and_(*same, col(table.table.sealed) == value.sealed))
        .values(sealed=sealed)
    )
    return bool((await transaction.session.exec(statement)).rowcount)


async def forget_replaced(database: Database) -> None:
    """Take what was replaced out of SQLite's log, as far as nobody reads it."""
    if not database.is_postgresql:
        async with database.engine.connect() as connection:
            # Not inside a transaction.
            raw = await connection.get_raw_connection()
            await raw.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
