"""Finds whose an access token is: asked at every call of the API, so in one statement.

Before: `identity.authentication`. Beside: `tokens`, `principals`. After: `tables`.
"""

from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import Dialect, bindparam
from sqlmodel import col, select

from modelplane.control_plane.principal import USERS, USERS_ID, PrincipalKind
from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.identity.principals import StoredPrincipal
from modelplane.control_plane.store.tables import (
    AccessTokenRow,
    GroupMemberRow,
    GroupRow,
    PrincipalRow,
)


@dataclass(frozen=True, slots=True)
class TokenOwner:
    """Whose a token is.

    Attributes:
        expiry_ms: When the token expires, milliseconds since the epoch; None: never.
        principal: Its owner.
    """

    expiry_ms: int | None
    principal: StoredPrincipal


async def find_owner(session: Session, token_digest: bytes) -> TokenOwner | None:
    """Return the owner of the token with this digest, if there is such a token."""
    # Through the connection, and in SQL that is compiled once: the session's own ways cost more
    # than the statement.
    connection = await session.connection()
    statement = _statement(connection.dialect)
    found = await connection.exec_driver_sql(statement, (token_digest,))
    rows = [tuple(row) for row in found.all()]
    if not rows:
        return None
    (
        expiry_ms,
        principal_id,
        kind,
        name,
        display_name,
        active,
        created_ms,
        valid_from_ms,
        *_,
    ) = rows[0]
    groups = {group_id: name for *_, group_id, name in rows if group_id is not None}
    principal = StoredPrincipal(
        id=principal_id,
        kind=PrincipalKind(kind),
        name=name,
        display_name=display_name,
        active=bool(active),
        created_ms=created_ms,
        tokens_valid_from_ms=valid_from_ms,
        groups={USERS_ID: USERS, **groups},
    )
    return TokenOwner(expiry_ms, principal)


@lru_cache(maxsize=8)
def _statement(dialect: Dialect) -> str:
    """Return the SQL with a row for each group of the owner, or one where it is in none."""
    owner, member = PrincipalRow, GroupMemberRow
    columns = (
        col(AccessTokenRow.expiry_ms),
        col(owner.id),
        col(owner.kind),
        col(owner.name),
        col(owner.display_name),
        col(owner.active),
        col(owner.created_ms),
        col(owner.tokens_valid_from_ms),
        col(GroupRow.id),
        col(GroupRow.name),
    )
    query = (
        select(*columns)  # type: ignore[call-overload]
        .select_from(AccessTokenRow)
        .join(owner, col(owner.id) == col(AccessTokenRow.principal_id))
        .outerjoin(member, col(member.principal_id) == col(owner.id))
        .outerjoin(GroupRow, col(GroupRow.id) == col(member.group_id))
        .where(col(AccessTokenRow.digest) == bindparam("digest"))
    )
    return str(query.compile(dialect=dialect))
