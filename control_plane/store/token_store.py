"""Statements on access tokens, which are known only by their digest.

Before: `authentication`, `snapshots.builder`. After: `tables`.
"""

import uuid
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import or_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from adapters.rpc.authorization import digest
from control_plane.clock import Clock
from control_plane.store.database import Database
from control_plane.store.principal_store import ensure_admin
from control_plane.store.tables import AccessTokenRow, EventKind

# Marks the token that the deployment's settings give.
ADMIN_COMMENT = "admin token"

_MAX_IDS = 500


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token and whom it stands for."""

    id: str
    digest: bytes
    principal_id: str
    # Milliseconds since the epoch; None: never.
    expiry_ms: int | None


async def load_tokens(session: AsyncSession, ids: Collection[str] | None) -> list[StoredToken]:
    """Return the tokens `ids` that exist; None: all."""
    query = select(AccessTokenRow)
    if ids is not None and len(ids) <= _MAX_IDS:
        query = query.where(col(AccessTokenRow.id).in_(ids))
    rows = (await session.exec(query)).all()
    return [_stored(row) for row in rows if ids is None or row.id in ids]


async def find_token(session: AsyncSession, token_digest: bytes) -> StoredToken | None:
    """Return the token with this digest, if there is one."""
    query = select(AccessTokenRow).where(col(AccessTokenRow.digest) == token_digest)
    row = (await session.exec(query)).first()
    return _stored(row) if row else None


async def ensure_admin_token(database: Database, token: str, principal: str, clock: Clock) -> None:
    """Make `token` the only admin token of the deployment.

    Does nothing when it already is, so every replica may call it at each start.

    Args:
        database: Where tokens are stored.
        token: The token itself; only its digest is stored.
        principal: Name of the administrator.
        clock: The time.
    """
    async with database.write() as transaction:
        # Replicas that start at the same time take turns.
        await transaction.hold_revisions()
        principal_id = await ensure_admin(transaction, principal, clock())
        old = await _find_rows(transaction.session, token)
        if [(row.digest, row.principal_id, row.comment) for row in old] == [
            (digest(token), principal_id, ADMIN_COMMENT)
        ]:
            return
        for row in old:
            await transaction.session.delete(row)
        await transaction.session.flush()
        new = AccessTokenRow(
            id=uuid.uuid4().hex,
            digest=digest(token),
            principal_id=principal_id,
            comment=ADMIN_COMMENT,
            created_ms=clock(),
        )
        transaction.session.add(new)
        await transaction.session.flush()
        for row in (*old, new):
            await transaction.revise(EventKind.TOKEN, row.id)


async def _find_rows(session: AsyncSession, token: str) -> list[AccessTokenRow]:
    # A digest is unique, so this token must go too if it was handed out in another way before.
    query = select(AccessTokenRow).where(
        or_(
            col(AccessTokenRow.comment) == ADMIN_COMMENT,
            col(AccessTokenRow.digest) == digest(token),
        )
    )
    return list((await session.exec(query)).all())


def _stored(row: AccessTokenRow) -> StoredToken:
    return StoredToken(row.id, row.digest, row.principal_id, row.expiry_ms)
