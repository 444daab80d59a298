"""Statements on principals and the groups that they are in.

Before: `authentication`, `snapshots.builder`. After: `tables`.
"""

import secrets
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from control_plane.principal import ADMINS, ADMINS_ID, USERS, USERS_ID, Principal
from control_plane.store.database import Transaction, is_storable
from control_plane.store.tables import (
    EventKind,
    GroupMemberRow,
    GroupRow,
    PrincipalKind,
    PrincipalRow,
)

# Above this, a query reads all rows: drivers limit the number of parameters.
_MAX_IDS = 500
# Identifiers are numbers that JavaScript keeps exact, as clients of SCIM expect.
_ID_BITS = 53


@dataclass(frozen=True, slots=True)
class StoredPrincipal:
    """A principal, and the names of its groups by their identifiers; `users` is among them."""

    id: str
    kind: PrincipalKind
    name: str
    display_name: str
    active: bool
    created_ms: int
    tokens_valid_from_ms: int
    groups: Mapping[str, str]

    @property
    def principal(self) -> Principal:
        """The principal as a caller."""
        admin = ADMINS_ID in self.groups
        return Principal(self.id, self.name, admin, self.kind, frozenset(self.groups))


def new_id() -> str:
    """Return an identifier that no principal and no group has had."""
    return str(secrets.randbits(_ID_BITS))


async def load_principals(
    session: AsyncSession, ids: Collection[str] | None
) -> list[StoredPrincipal]:
    """Return the principals `ids` that exist; None: all."""
    query = select(PrincipalRow)
    members = select(GroupMemberRow.principal_id, GroupRow.id, GroupRow.name).join(GroupRow)
    if ids is not None and len(ids) <= _MAX_IDS:
        query = query.where(col(PrincipalRow.id).in_(ids))
        members = members.where(col(GroupMemberRow.principal_id).in_(ids))
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for principal_id, group_id, name in (await session.exec(members)).all():
        groups[principal_id][group_id] = name
    rows = (await session.exec(query)).all()
    return [_stored(row, groups.get(row.id, {})) for row in rows if ids is None or row.id in ids]


async def find_principal(session: AsyncSession, name: str) -> StoredPrincipal | None:
    """Return the principal called `name`, if there is one."""
    if not is_storable(name):
        return None
    query = select(PrincipalRow.id).where(col(PrincipalRow.name) == name)
    found = (await session.exec(query)).first()
    return (await load_principals(session, [found]))[0] if found else None


async def ensure_admin(transaction: Transaction, name: str, now_ms: int) -> str:
    """Make sure that the user `name` exists, is active and an administrator; return its id."""
    session = transaction.session
    if await session.get(GroupRow, ADMINS_ID) is None:
        session.add(GroupRow(id=ADMINS_ID, name=ADMINS, created_ms=now_ms))
        session.add(GroupRow(id=USERS_ID, name=USERS, created_ms=now_ms))
        await session.flush()
    found = await find_principal(session, name)
    if found is not None and found.active and ADMINS_ID in found.groups:
        return found.id
    row = await session.get(PrincipalRow, found.id) if found else None
    if row is None:
        kind = PrincipalKind.USER
        row = PrincipalRow(id=new_id(), kind=kind, name=name, display_name=name, created_ms=now_ms)
    row.active = True
    session.add(row)
    await session.flush()
    await session.merge(GroupMemberRow(group_id=ADMINS_ID, principal_id=row.id))
    await transaction.revise(EventKind.PRINCIPAL, row.id)
    return row.id


def _stored(row: PrincipalRow, groups: Mapping[str, str]) -> StoredPrincipal:
    return StoredPrincipal(
        id=row.id,
        kind=PrincipalKind(row.kind),
        name=row.name,
        display_name=row.display_name,
        active=row.active,
        created_ms=row.created_ms,
        tokens_valid_from_ms=row.tokens_valid_from_ms,
        groups={USERS_ID: USERS, **groups},
    )
