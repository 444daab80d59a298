"""Statements on groups and their members.

Before: `groups`. After: `tables`. Beside: `principals`.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import func
from sqlmodel import col, delete, insert, select

from modelplane.control_plane.errors import AlreadyExists
from modelplane.control_plane.principal import USERS_ID, PrincipalKind
from modelplane.control_plane.store.database import Session, Transaction, in_parts, is_storable
from modelplane.control_plane.store.identity.principals import Attribute, Page, equals
from modelplane.control_plane.store.states import EventKind
from modelplane.control_plane.store.tables import GroupMemberRow, GroupRow, PrincipalRow


@dataclass(frozen=True, slots=True)
class Member:
    """A principal that is in a group."""

    id: str
    kind: PrincipalKind
    display_name: str


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A group, and its members by their identifiers."""

    id: str
    name: str
    members: Mapping[str, Member]


async def list_groups(session: Session, page: Page) -> tuple[list[StoredGroup], int]:
    """Return the groups of a page, ordered by name, and the number without regard to paging."""
    if not is_storable(page.value):
        return [], 0
    query, count = select(GroupRow), select(func.count()).select_from(GroupRow)
    if page.attribute is not None:
        column = col(GroupRow.id if page.attribute is Attribute.ID else GroupRow.name)
        selected = page.selects(column)
        query, count = query.where(selected), count.where(selected)
    query = query.order_by(col(GroupRow.name)).offset(page.offset).limit(page.limit)
    rows = (await session.exec(query)).all()
    return await _with_members(session, rows), (await session.exec(count)).one()


async def find_group(session: Session, group_id: str) -> StoredGroup | None:
    """Return the group with this identifier, if there is one."""
    row = await session.get(GroupRow, group_id) if is_storable(group_id) else None
    return (await _with_members(session, [row]))[0] if row else None


async def insert_group(transaction: Transaction, group: StoredGroup, created_ms: int) -> None:
    """Store a new group without its members.

    Raises:
        AlreadyExists: The name is taken.
    """
    await _check_free(transaction, group)
    row = GroupRow(id=group.id, name=group.name, created_ms=created_ms)
    transaction.session.add(row)
    await transaction.session.flush()


async def rename_group(transaction: Transaction, group: StoredGroup) -> None:
    """Store the name of a group.

    Raises:
        AlreadyExists: It is taken.
    """
    await _check_free(transaction, group)
    row = await transaction.session.get_one(GroupRow, group.id)
    row.name = group.name
    await transaction.session.flush()


async def add_members(transaction: Transaction, group_id: str, ids: Collection[str]) -> None:
    """Add principals that are not in the group yet."""
    rows = [{"group_id": group_id, "principal_id": principal_id} for principal_id in ids]
    if rows:
        await transaction.session.exec(insert(GroupMemberRow), params=rows)


async def remove_members(transaction: Transaction, group_id: str, ids: Collection[str]) -> None:
    """Take members out of a group."""
    for part in in_parts(ids):
        statement = delete(GroupMemberRow).where(
            col(GroupMemberRow.group_id) == group_id, col(GroupMemberRow.principal_id).in_(part)
        )
        await transaction.session.exec(statement)


async def remove_group(transaction: Transaction, group_id: str) -> None:
    """Delete a group, and the memberships with it."""
    await transaction.session.exec(delete(GroupRow).where(col(GroupRow.id) == group_id))


async def revise_members(transaction: Transaction, ids: Collection[str]) -> int | None:
    """Record a change of each of these principals; return the newest revision."""
    return await transaction.revise_all(EventKind.PRINCIPAL, sorted(ids)) if ids else None


async def _check_free(transaction: Transaction, group: StoredGroup) -> None:
    others = select(GroupRow.id).where(
        equals(col(GroupRow.name), group.name), col(GroupRow.id) != group.id
    )
    if (await transaction.session.exec(others)).first() is not None:
        raise AlreadyExists(f"There is a group called '{group.name}' already.")


async def _with_members(session: Session, rows: Collection[GroupRow]) -> list[StoredGroup]:
    members: dict[str, dict[str, Member]] = defaultdict(dict)
    query = (
        select(
            GroupMemberRow.group_id, PrincipalRow.id, PrincipalRow.kind, PrincipalRow.display_name
        )
        .join(PrincipalRow)
        .order_by(col(PrincipalRow.name))
    )
    for part in in_parts([row.id for row in rows]):
        of_part = query.where(col(GroupMemberRow.group_id).in_(part))
        for group_id, principal_id, kind, name in (await session.exec(of_part)).all():
            members[group_id][principal_id] = Member(principal_id, PrincipalKind(kind), name)
    if any(row.id == USERS_ID for row in rows):
        everyone = await session.exec(select(PrincipalRow).order_by(col(PrincipalRow.name)))
        members[USERS_ID] = {
            row.id: Member(row.id, PrincipalKind(row.kind), row.display_name)
            for row in everyone.all()
        }
    return [StoredGroup(row.id, row.name, members[row.id]) for row in rows]
