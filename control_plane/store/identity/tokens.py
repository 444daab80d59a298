"""Statements on access tokens, which are known only by their digest.

Before: `authentication`, `tokens`, `snapshots.builder`. After: `tables`.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import or_
from sqlmodel import col, delete, select
from sqlmodel.sql.expression import SelectOfScalar

from modelplane.adapters.shared.rpc.authorization import digest
from modelplane.control_plane.clock import Clock
from modelplane.control_plane.store.database import Database, Session, Transaction, in_parts
from modelplane.control_plane.store.identity.principals import ensure_admin
from modelplane.control_plane.store.states import EventKind
from modelplane.control_plane.store.tables import AccessTokenRow

# The token that the deployment's settings give.
ADMIN_TOKEN_ID = "admin"  # noqa: S105 - an identifier
_ADMIN_COMMENT = "Admin token, from MODELPLANE_ADMIN_TOKEN"


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token and whom it stands for.

    Attributes:
        id: Identifier.
        digest: Digest of the token itself, which is not stored.
        principal_id: Identifier of its owner.
        comment: What it is for.
        created_ms: Time of creation, milliseconds since the epoch.
        expiry_ms: Time at which it expires; None: never.
        parent_id: Of a session: identifier of the token that began it, with which it ends; its own,
            if it was begun without one; None: it is no session.
    """

    id: str
    digest: bytes = field(repr=False)
    principal_id: str
    comment: str
    created_ms: int
    expiry_ms: int | None
    parent_id: str | None = None


async def load_tokens(session: Session, ids: Collection[str] | None) -> list[StoredToken]:
    """Return the tokens `ids` that exist; None: all."""
    query = select(AccessTokenRow)
    if ids is None:
        return [_stored(row) for row in (await session.exec(query)).all()]
    return [
        _stored(row)
        for part in in_parts(ids)
        for row in (await session.exec(query.where(col(AccessTokenRow.id).in_(part)))).all()
    ]


async def find_token(session: Session, token_digest: bytes) -> StoredToken | None:
    """Return the token with this digest, if there is one."""
    query = select(AccessTokenRow).where(col(AccessTokenRow.digest) == token_digest)
    row = (await session.exec(query)).first()
    return _stored(row) if row else None


async def list_tokens(session: Session, principal_id: str | None) -> list[StoredToken]:
    """Return the tokens of a principal, oldest first, but no sessions; None: of all."""
    query = _oldest_first().where(col(AccessTokenRow.parent_id).is_(None))
    if principal_id is not None:
        query = query.where(col(AccessTokenRow.principal_id) == principal_id)
    return [_stored(row) for row in (await session.exec(query)).all()]


async def list_sessions(session: Session, principal_id: str) -> list[StoredToken]:
    """Return the sessions of a principal, oldest first."""
    of_it = col(AccessTokenRow.principal_id) == principal_id
    query = _oldest_first().where(of_it, col(AccessTokenRow.parent_id).is_not(None))
    return [_stored(row) for row in (await session.exec(query)).all()]


async def insert_token(transaction: Transaction, token: StoredToken) -> int:
    """Store a new token; return the revision."""
    transaction.session.add(
        AccessTokenRow(
            id=token.id,
            digest=token.digest,
            principal_id=token.principal_id,
            comment=token.comment,
            created_ms=token.created_ms,
            expiry_ms=token.expiry_ms,
            parent_id=token.parent_id,
        )
    )
    return await transaction.revise(EventKind.TOKEN, token.id)


async def remove_token(transaction: Transaction, token_id: str) -> int:
    """Delete a token and the sessions that it began; return the revision."""
    begun = col(AccessTokenRow.parent_id) == token_id
    session = transaction.session
    sessions = (await session.exec(select(AccessTokenRow.id).where(begun))).all()
    rows = or_(col(AccessTokenRow.id) == token_id, begun)
    await session.exec(delete(AccessTokenRow).where(rows))
    if sessions:
        await transaction.revise_all(EventKind.TOKEN, sessions)
    return await transaction.revise(EventKind.TOKEN, token_id)


async def find_expired(session: Session, now_ms: int) -> list[str]:
    """Return the identifiers of the tokens that have expired."""
    query = select(AccessTokenRow.id).where(col(AccessTokenRow.expiry_ms) <= now_ms)
    return list((await session.exec(query)).all())


async def remove_expired(transaction: Transaction, now_ms: int) -> None:
    """Delete the tokens that have expired."""
    for token_id in await find_expired(transaction.session, now_ms):
        await remove_token(transaction, token_id)


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
        if [(row.id, row.digest, row.principal_id) for row in old] == [
            (ADMIN_TOKEN_ID, digest(token), principal_id)
        ]:
            return
        for row in old:
            await remove_token(transaction, row.id)
        new = StoredToken(
            ADMIN_TOKEN_ID, digest(token), principal_id, _ADMIN_COMMENT, clock(), None
        )
        await insert_token(transaction, new)


async def _find_rows(session: Session, token: str) -> list[AccessTokenRow]:
    # A digest is unique, so this token must go too if it was handed out in another way before.
    query = select(AccessTokenRow).where(
        or_(
            col(AccessTokenRow.id) == ADMIN_TOKEN_ID,
            col(AccessTokenRow.digest) == digest(token),
        )
    )
    return list((await session.exec(query)).all())


def _oldest_first() -> SelectOfScalar[AccessTokenRow]:
    return select(AccessTokenRow).order_by(col(AccessTokenRow.created_ms), col(AccessTokenRow.id))


def _stored(row: AccessTokenRow) -> StoredToken:
    return StoredToken(
        id=row.id,
        digest=row.digest,
        principal_id=row.principal_id,
        comment=row.comment,
        created_ms=row.created_ms,
        expiry_ms=row.expiry_ms,
        parent_id=row.parent_id,
    )
