"""Users, groups and service principals for tests, each with an access token."""

import asyncio
from collections.abc import Sequence
from typing import Self
from uuid import uuid4

from sqlmodel import col, delete

from adapters.rpc.authorization import digest
from control_plane.store.database import Database, Transaction
from control_plane.store.principal_store import new_id
from control_plane.store.tables import (
    AccessTokenRow,
    EventKind,
    GroupMemberRow,
    GroupRow,
    PrincipalKind,
    PrincipalRow,
)
from tests.e2e.system import System


class Principals:
    """Makes principals; all are gone when the block ends.

    The workers know them once they know of any later change, such as a grant to one of them.
    """

    def __init__(self, system: System) -> None:
        self._url = f"sqlite:///{system.data_dir / 'modelplane.db'}"
        self._groups = {"admins": "1"}
        self._made: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run(self._remove())

    def add_user(self, name: str, groups: Sequence[str] = ()) -> str:
        """Make a user and return a token of it; groups that are not there are made."""
        return asyncio.run(self._add(PrincipalKind.USER, name, groups))

    def add_robot(self, name: str, groups: Sequence[str] = ()) -> str:
        """Make a service principal, whose application id is `name`, and return a token of it."""
        return asyncio.run(self._add(PrincipalKind.SERVICE_PRINCIPAL, name, groups))

    def leave(self, group: str) -> None:
        """Take all members out of a group."""
        asyncio.run(self._leave(self._groups[group]))

    async def _add(self, kind: PrincipalKind, name: str, groups: Sequence[str]) -> str:
        token = f"dapi{uuid4().hex}"
        row = PrincipalRow(id=new_id(), kind=kind, name=name, display_name=name, created_ms=0)
        self._made.append(row.id)
        owned = AccessTokenRow(
            id=uuid4().hex, digest=digest(token), principal_id=row.id, created_ms=0
        )
        database = Database(self._url)
        async with database.write() as transaction:
            transaction.session.add(row)
            await transaction.session.flush()
            for group in groups:
                await self._join(transaction, group, row.id)
            transaction.session.add(owned)
            await transaction.revise(EventKind.PRINCIPAL, row.id)
            await transaction.revise(EventKind.TOKEN, owned.id)
        await database.aclose()
        return token

    async def _join(self, transaction: Transaction, group: str, principal_id: str) -> None:
        if group not in self._groups:
            self._groups[group] = new_id()
            transaction.session.add(GroupRow(id=self._groups[group], name=group, created_ms=0))
            await transaction.session.flush()
        member = GroupMemberRow(group_id=self._groups[group], principal_id=principal_id)
        transaction.session.add(member)

    async def _leave(self, group_id: str) -> None:
        database = Database(self._url)
        async with database.write() as transaction:
            query = (
                delete(GroupMemberRow)
                .where(col(GroupMemberRow.group_id) == group_id)
                .returning(col(GroupMemberRow.principal_id))
            )
            for (principal_id,) in (await transaction.session.exec(query)).all():
                await transaction.revise(EventKind.PRINCIPAL, principal_id)
        await database.aclose()

    async def _remove(self) -> None:
        database = Database(self._url)
        async with database.write() as transaction:
            for principal_id in self._made:
                query = delete(PrincipalRow).where(col(PrincipalRow.id) == principal_id)
                await transaction.session.exec(query)
                await transaction.revise(EventKind.PRINCIPAL, principal_id)
            groups = set(self._groups.values()) - {"1"}
            await transaction.session.exec(delete(GroupRow).where(col(GroupRow.id).in_(groups)))
        await database.aclose()
