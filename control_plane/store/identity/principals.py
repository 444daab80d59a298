"""Statements on principals and the groups that they are in.

Before: `authentication`, `identities`, `snapshots.builder`. After: `tables`. Beside: `groups`.
"""

import re
import secrets
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Row, func
from sqlalchemy.orm import Mapped
from sqlmodel import col, delete, select

from modelplane.control_plane.errors import AlreadyExists
from modelplane.control_plane.principal import (
    ADMINS,
    ADMINS_ID,
    USERS,
    USERS_ID,
    Principal,
    PrincipalKind,
)
from modelplane.control_plane.store.database import Session, Transaction, in_parts, is_storable
from modelplane.control_plane.store.states import EventKind
from modelplane.control_plane.store.tables import (
    AccessTokenRow,
    GroupMemberRow,
    GroupRow,
    PrincipalRow,
)

# Clocks of replicas may differ by this: what another has issued before must not look as if it came
# after what voids it.
_CLOCK_SKEW_MS = 5_000
# Identifiers are numbers of at most 15 digits: clients read some as JSON numbers, which are printed
# with an exponent from there on.
_ID_BITS = 49


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

    @property
    def tokens_valid_from(self) -> int:
        """JWTs issued before this time are void, seconds since the epoch.

        Of a service principal, that is no earlier than its creation: its name may have been
        another's before, whose JWTs name it too.
        """
        born_ms = self.created_ms if self.kind is PrincipalKind.SERVICE_PRINCIPAL else 0
        # Up: a JWT tells the second only, so all of the last one are void.
        return -(-max(self.tokens_valid_from_ms, born_ms) // 1000)

    def void_tokens(self, now_ms: int) -> "StoredPrincipal":
        """Return the principal with all JWTs void that were issued so far.

        A login gets a time of issue that is no earlier than `tokens_valid_from`, so this one must
        be later than it, whatever the clock says.
        """
        valid_from_ms = max(now_ms + _CLOCK_SKEW_MS, (self.tokens_valid_from + 1) * 1000)
        return replace(self, tokens_valid_from_ms=valid_from_ms)


class Attribute(StrEnum):
    """What identities can be selected by."""

    ID = "id"
    NAME = "name"
    DISPLAY_NAME = "display_name"


@dataclass(frozen=True, slots=True)
class Page:
    """Which identities to list.

    Attributes:
        attribute: What they are selected by; None: all are.
        value: What it must equal, upper and lower case alike.
        part: Whether it need only contain the value.
        offset: Number of results to leave out.
        limit: Greatest number of results; None: all.
    """

    attribute: Attribute | None = None
    value: str = ""
    offset: int = 0
    limit: int | None = None
    part: bool = False

    def selects(self, column: Mapped[str]) -> ColumnElement[bool]:
        """Return the condition on the column that has the attribute."""
        return contains(column, self.value) if self.part else equals(column, self.value)


def new_id() -> str:
    """Return an identifier that no principal and no group has had."""
    return str(secrets.randbits(_ID_BITS))


async def load_principals(session: Session, ids: Collection[str] | None) -> list[StoredPrincipal]:
    """Return the principals `ids` that exist; None: all."""
    if ids is None:
        return await _load(session)
    return [
        found
        for part in in_parts(ids)
        for found in await _load(
            session, col(PrincipalRow.id).in_(part), col(GroupMemberRow.principal_id).in_(part)
        )
    ]


async def _load(session: Session, *selected: ColumnElement[bool]) -> list[StoredPrincipal]:
    """Return principals, by conditions on them and on their memberships."""
    principals: Any = select(*_STORED).where(*selected[:1])
    members = select(GroupMemberRow.principal_id, GroupRow.id, GroupRow.name).join(GroupRow)
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    for principal_id, group_id, name in (await session.exec(members.where(*selected[1:]))).all():
        groups[principal_id][group_id] = name
    # Columns, since objects that the session keeps an eye on cost several times as much.
    rows = (await session.exec(principals)).all()
    return [_stored(row, groups.get(row.id, {})) for row in rows]


async def find_principal(session: Session, name: str) -> StoredPrincipal | None:
    """Return the principal called `name`, if there is one."""
    if not is_storable(name):
        return None
    query = select(PrincipalRow.id).where(col(PrincipalRow.name) == name)
    found = (await session.exec(query)).first()
    return (await load_principals(session, [found]))[0] if found else None


async def list_principals(
    session: Session, kind: PrincipalKind, page: Page
) -> tuple[list[StoredPrincipal], int]:
    """Return the principals of a page, ordered by name, and the number without regard to paging."""
    if not is_storable(page.value):
        return [], 0
    selected = [col(PrincipalRow.kind) == kind]
    if page.attribute is not None:
        selected.append(page.selects(_COLUMNS[page.attribute]))
    query = select(PrincipalRow.id).where(*selected).order_by(col(PrincipalRow.name))
    ids = (await session.exec(query.offset(page.offset).limit(page.limit))).all()
    count = select(func.count()).select_from(PrincipalRow).where(*selected)
    found = await load_principals(session, set(ids))
    return sorted(found, key=lambda item: item.name), (await session.exec(count)).one()


def equals(column: Mapped[str], value: str) -> ColumnElement[bool]:
    """Return the condition that `column` is `value`, upper and lower case alike."""
    # The databases differ in which letters `lower` knows, but none takes one text for another.
    return func.lower(column) == func.lower(value)


def contains(column: Mapped[str], text: str) -> ColumnElement[bool]:
    """Return the condition that `column` has a text in it, upper and lower case alike."""
    plain = re.sub("([%_/])", r"/\1", text)
    # Here, too, each database makes both small.
    return func.lower(column).like(func.lower(f"%{plain}%"), escape="/")


async def insert_principal(transaction: Transaction, new: StoredPrincipal) -> int:
    """Store a new principal that is in no group; return the revision.

    Raises:
        AlreadyExists: The name is taken.
    """
    session = transaction.session
    taken = select(PrincipalRow.id).where(equals(col(PrincipalRow.name), new.name))
    if (await session.exec(taken)).first() is not None:
        raise AlreadyExists(f"There is a principal called '{new.name}' already.")
    session.add(
        PrincipalRow(
            id=new.id,
            kind=new.kind,
            name=new.name,
            display_name=new.display_name,
            active=new.active,
            created_ms=new.created_ms,
        )
    )
    return await transaction.revise(EventKind.PRINCIPAL, new.id)


async def update_principal(transaction: Transaction, changed: StoredPrincipal) -> int:
    """Store what may change of a principal itself; return the revision."""
    row = await transaction.session.get_one(PrincipalRow, changed.id)
    row.display_name = changed.display_name
    row.active = changed.active
    row.tokens_valid_from_ms = changed.tokens_valid_from_ms
    return await transaction.revise(EventKind.PRINCIPAL, changed.id)


async def remove_principal(transaction: Transaction, principal_id: str) -> int:
    """Delete a principal, and its tokens and memberships with it; return the revision."""
    session = transaction.session
    of_it = col(AccessTokenRow.principal_id) == principal_id
    tokens = (await session.exec(select(AccessTokenRow.id).where(of_it))).all()
    await session.exec(delete(PrincipalRow).where(col(PrincipalRow.id) == principal_id))
    if tokens:
        await transaction.revise_all(EventKind.TOKEN, tokens)
    return await transaction.revise(EventKind.PRINCIPAL, principal_id)


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


def _stored(row: "Row[Any]", groups: Mapping[str, str]) -> StoredPrincipal:
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


# What is read of a row.
_STORED: Sequence[Any] = [
    col(getattr(PrincipalRow, name))
    for name in (
        "id",
        "kind",
        "name",
        "display_name",
        "active",
        "created_ms",
        "tokens_valid_from_ms",
    )
]
_COLUMNS: Mapping[Attribute, Mapped[str]] = {
    Attribute.ID: col(PrincipalRow.id),
    Attribute.NAME: col(PrincipalRow.name),
    Attribute.DISPLAY_NAME: col(PrincipalRow.display_name),
}
