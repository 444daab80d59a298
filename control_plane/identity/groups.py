"""Use cases for groups.

Before: `scim_servicer`. After: `access`, `store.identity.groups`. Beside: `identities`.
"""

from collections.abc import Callable, Collection
from dataclasses import replace

from modelplane.control_plane.access import require_admin
from modelplane.control_plane.clock import Clock
from modelplane.control_plane.errors import InvalidParameter, NotFound
from modelplane.control_plane.identity.identities import check_name
from modelplane.control_plane.identity.scim import GroupState
from modelplane.control_plane.principal import ADMINS_ID, USERS_ID, Principal
from modelplane.control_plane.rollout import Rollout
from modelplane.control_plane.store.database import Database, Session, Transaction, is_storable
from modelplane.control_plane.store.identity import groups
from modelplane.control_plane.store.identity.groups import StoredGroup
from modelplane.control_plane.store.identity.principals import (
    Page,
    find_principal,
    load_principals,
    new_id,
)

_BUILT_IN = (ADMINS_ID, USERS_ID)


class Groups:
    """Creates, reads, changes and deletes groups."""

    def __init__(
        self, database: Database, rollout: Rollout, clock: Clock, *, admin_user: str
    ) -> None:
        """Keep the collaborators.

        Args:
            database: Where groups are stored.
            rollout: Tells when the workers have followed.
            clock: The time.
            admin_user: The deployment's own administrator, who stays one.
        """
        self._database = database
        self._rollout = rollout
        self._clock = clock
        self._admin_user = admin_user

    async def get(self, caller: Principal, group_id: str) -> StoredGroup:
        """Return a group.

        Raises:
            PermissionDenied: The caller is no administrator.
            NotFound: There is no such group.
        """
        require_admin(caller)
        async with self._database.read() as session:
            return await _find(session, group_id)

    async def list(self, caller: Principal, page: Page) -> tuple[list[StoredGroup], int]:
        """Return the groups of a page, and the number without regard to paging.

        Raises:
            PermissionDenied: The caller is no administrator.
        """
        require_admin(caller)
        async with self._database.read() as session:
            return await groups.list_groups(session, page)

    async def create(
        self, caller: Principal, name: str, member_ids: Collection[str]
    ) -> StoredGroup:
        """Create a group.

        Raises:
            PermissionDenied: The caller is no administrator.
            InvalidParameter: The name is malformed, or there is no such member.
            AlreadyExists: The name is taken.
        """
        require_admin(caller)
        check_name("displayName", name)
        new = StoredGroup(new_id(), name, {})
        async with self._database.write() as transaction:
            # Changes of identities take turns, so that what one has checked holds when it commits.
            await transaction.hold_revisions()
            await groups.insert_group(transaction, new, self._clock())
            await _add(transaction, new, frozenset(member_ids))
            revision = await groups.revise_members(transaction, member_ids)
            created = await _find(transaction.session, new.id)
        await self._applied(revision)
        return created

    async def change(
        self, caller: Principal, group_id: str, change: Callable[[GroupState], GroupState]
    ) -> StoredGroup:
        """Change a group; return it as it then is.

        Raises:
            PermissionDenied: The caller is no administrator.
            NotFound: There is no such group.
            InvalidParameter: `change` refuses, or the change is not possible.
            AlreadyExists: The new name is taken.
        """
        require_admin(caller)
        async with self._database.write() as transaction:
            await transaction.hold_revisions()
            old = await _find(transaction.session, group_id)
            new = change(GroupState(old.id, old.name, frozenset(old.members)))
            renamed = new.name != old.name
            if renamed:
                await _rename(transaction, old, new.name)
            added, removed = new.member_ids - set(old.members), set(old.members) - new.member_ids
            await _add(transaction, old, added)
            await self._remove(transaction, old, removed)
            affected = old.members.keys() | added if renamed else added | removed
            revision = await groups.revise_members(transaction, affected)
            changed = await _find(transaction.session, group_id)
        await self._applied(revision)
        return changed

    async def delete(self, caller: Principal, group_id: str) -> None:
        """Delete a group; what was granted to it is gone for its members.

        Raises:
            PermissionDenied: The caller is no administrator.
            NotFound: There is no such group.
            InvalidParameter: It is built in.
        """
        require_admin(caller)
        async with self._database.write() as transaction:
            await transaction.hold_revisions()
            group = await _find(transaction.session, group_id)
            if group_id in _BUILT_IN:
                raise InvalidParameter(f"The group '{group.name}' is built in; it must stay.")
            await groups.remove_group(transaction, group_id)
            revision = await groups.revise_members(transaction, group.members)
        await self._applied(revision)

    async def _remove(
        self, transaction: Transaction, group: StoredGroup, ids: Collection[str]
    ) -> None:
        if ids and group.id == USERS_ID:
            raise _everyone()
        if group.id == ADMINS_ID:
            # With this one, the group never is without an active member.
            own = await find_principal(transaction.session, self._admin_user)
            if own and own.id in ids:
                raise InvalidParameter(
                    f"'{own.name}' is the deployment's own administrator (MODELPLANE_ADMIN_USER) "
                    f"and must stay in the group '{group.name}'."
                )
        await groups.remove_members(transaction, group.id, ids)

    async def _applied(self, revision: int | None) -> None:
        if revision is not None:
            await self._rollout.wait_applied(revision)


async def _find(session: Session, group_id: str) -> StoredGroup:
    found = await groups.find_group(session, group_id)
    if found is None:
        raise NotFound(f"There is no group with the id '{group_id[:100]}'.")
    return found


async def _rename(transaction: Transaction, group: StoredGroup, name: str) -> None:
    if group.id in _BUILT_IN:
        raise InvalidParameter(f"The group '{group.name}' is built in and keeps its name.")
    check_name("displayName", name)
    await groups.rename_group(transaction, replace(group, name=name))


async def _add(transaction: Transaction, group: StoredGroup, ids: Collection[str]) -> None:
    if ids and group.id == USERS_ID:
        raise _everyone()
    known = [member_id for member_id in ids if is_storable(member_id)]
    found = {item.id for item in await load_principals(transaction.session, known)}
    for missing in sorted(set(ids) - found):
        if await groups.find_group(transaction.session, missing):
            raise InvalidParameter(
                f"'{missing}' is a group; groups cannot be nested, so add its members."
            )
        raise InvalidParameter(
            f"There is no user or service principal with the id '{missing[:100]}'."
        )
    await groups.add_members(transaction, group.id, ids)


def _everyone() -> InvalidParameter:
    return InvalidParameter("Everyone is in the group 'users'; its members cannot be changed.")
