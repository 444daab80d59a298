"""Queries for those to whom something can be granted: principals and groups alike.

Before: `endpoints.permissions`. After: `tables`. Beside: `principals`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, func, or_
from sqlalchemy.orm import Mapped
from sqlmodel import col, select

from modelplane.control_plane.store.database import Session, in_parts, is_storable
from modelplane.control_plane.store.identity.principals import contains
from modelplane.control_plane.store.tables import GroupRow, PrincipalRow


class GranteeKind(StrEnum):
    """What a grantee is; those of `PrincipalKind`, and groups."""

    USER = "user"
    SERVICE_PRINCIPAL = "service_principal"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class Grantee:
    """A user, a service principal or a group.

    Attributes:
        id: Identifier, which no two of them share.
        kind: What it is.
        name: User name, application id or name of the group.
        display_name: How people call it; empty for a group.
    """

    id: str
    kind: GranteeKind
    name: str
    display_name: str


async def load_grantees(session: Session, ids: Collection[str]) -> list[Grantee]:
    """Return those of `ids` that exist."""
    return await _select(session, col(PrincipalRow.id), col(GroupRow.id), ids)


async def find_grantees(session: Session, names: Collection[str]) -> list[Grantee]:
    """Return those called by one of `names`; a principal and a group may share one."""
    return await _select(session, col(PrincipalRow.name), col(GroupRow.name), names)


async def find_by_folded_names(session: Session, names: Collection[str]) -> list[Grantee]:
    """Return those called by one of `names`, whatever the case of the letters."""
    folded = {form for name in names for form in (name, name.lower())}
    of_principal, of_group = func.lower(PrincipalRow.name), func.lower(GroupRow.name)
    return await _select(session, of_principal, of_group, folded)


async def search_grantees(session: Session, text: str, most: int) -> list[Grantee]:
    """Return the first by name, of those who are active, whose name or display name has a text."""
    if not is_storable(text):
        return []
    principals = (
        select(PrincipalRow)
        .where(col(PrincipalRow.active).is_(True))
        .where(
            or_(
                contains(col(PrincipalRow.name), text),
                contains(col(PrincipalRow.display_name), text),
            )
        )
        .order_by(col(PrincipalRow.name))
    )
    groups = select(GroupRow).where(contains(col(GroupRow.name), text)).order_by(col(GroupRow.name))
    found = [
        Grantee(row.id, GranteeKind(row.kind), row.name, row.display_name)
        for row in (await session.exec(principals.limit(most))).all()
    ]
    rows = (await session.exec(groups.limit(most))).all()
    found += [Grantee(row.id, GranteeKind.GROUP, row.name, "") for row in rows]
    return sorted(found, key=lambda one: (one.name.lower(), one.kind))[:most]


async def _select(
    session: Session,
    of_principal: ColumnElement[str] | Mapped[str],
    of_group: ColumnElement[str] | Mapped[str],
    values: Collection[str],
) -> list[Grantee]:
    found: list[Grantee] = []
    for some in in_parts([value for value in values if is_storable(value)]):
        principals = await session.exec(select(PrincipalRow).where(of_principal.in_(some)))
        found += [
            Grantee(row.id, GranteeKind(row.kind), row.name, row.display_name)
            for row in principals.all()
        ]
        groups = await session.exec(select(GroupRow).where(of_group.in_(some)))
        found += [Grantee(row.id, GranteeKind.GROUP, row.name, "") for row in groups.all()]
    return found
