"""Use cases for the access control lists of secret scopes: who may read, write and manage.

Only those who manage a scope see and change its list. Before: `servicer`. After: `lookup`,
`store.identity.grantees`, `store.secrets.scopes`.
"""

from collections.abc import Collection
from dataclasses import dataclass

from modelplane.control_plane.errors import InvalidParameter, LimitExceeded, NotFound
from modelplane.control_plane.principal import Permission, Principal
from modelplane.control_plane.secrets.lookup import find_scope, lock_scope
from modelplane.control_plane.store.database import Database, Session
from modelplane.control_plane.store.identity.grantees import Grantee, find_grantees, load_grantees
from modelplane.control_plane.store.secrets.scopes import StoredScope, set_acl

MAX_ENTRIES = 1_000

_PERMISSIONS = {item.name: item for item in Permission if item}


@dataclass(frozen=True, slots=True)
class AclEntry:
    """What one grantee may do with a scope."""

    # User name, application id or name of the group.
    grantee: str
    permission: Permission


class ScopeAcls:
    """Reads and changes access control lists."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, principal: Principal, scope: str, *, grantee: str, permission: str) -> None:
        """Set what a grantee may do with a scope.

        Raises:
            InvalidParameter: The permission or the grantee is unknown.
            NotFound: There is no such scope.
            PermissionDenied: The principal does not manage it.
            LimitExceeded: The list is too long.
        """
        given = _PERMISSIONS.get(permission)
        async with self._database.write() as transaction:
            session = transaction.session
            stored = await lock_scope(transaction, principal, scope, Permission.MANAGE)
            if given is None:
                raise InvalidParameter(
                    f"permission '{permission[:100]}' is unknown; use {', '.join(_PERMISSIONS)}."
                )
            grantee_id = _only(grantee, await find_grantees(session, [grantee])).id
            # Those that are gone would fill the list up over the years.
            present = {item.id for item in await load_grantees(session, stored.acl)}
            acl = {key: level for key, level in stored.acl.items() if key in present}
            acl[grantee_id] = given
            if len(acl) > MAX_ENTRIES:
                raise LimitExceeded(
                    f"The access control list would have {len(acl)} entries; at most "
                    f"{MAX_ENTRIES} are allowed. Use a group instead."
                )
            await set_acl(transaction, scope, acl)

    async def get(self, principal: Principal, scope: str, grantee: str) -> AclEntry:
        """Return what a grantee may do with a scope by its list.

        Raises:
            NotFound: There is no such scope, or the grantee is not in its list.
            PermissionDenied: The principal does not manage it.
        """
        async with self._database.read() as session:
            stored = await find_scope(session, principal, scope, Permission.MANAGE)
            found = await _find_entry(session, stored, grantee)
        return AclEntry(found.name, stored.acl[found.id])

    async def list_all(self, principal: Principal, scope: str) -> list[AclEntry]:
        """Return the access control list, ordered by name.

        Raises:
            NotFound: There is no such scope.
            PermissionDenied: The principal does not manage it.
        """
        async with self._database.read() as session:
            stored = await find_scope(session, principal, scope, Permission.MANAGE)
            grantees = await load_grantees(session, stored.acl)
        entries = [AclEntry(item.name, stored.acl[item.id]) for item in grantees]
        return sorted(entries, key=lambda entry: entry.grantee)

    async def delete(self, principal: Principal, scope: str, grantee: str) -> None:
        """Take a grantee out of a list.

        Raises:
            NotFound: There is no such scope, or the grantee is not in its list.
            PermissionDenied: The principal does not manage it.
        """
        async with self._database.write() as transaction:
            session = transaction.session
            stored = await lock_scope(transaction, principal, scope, Permission.MANAGE)
            gone = (await _find_entry(session, stored, grantee)).id
            acl = {key: level for key, level in stored.acl.items() if key != gone}
            await set_acl(transaction, scope, acl)


async def _find_entry(session: Session, scope: StoredScope, name: str) -> Grantee:
    for grantee in await find_grantees(session, [name]):
        if grantee.id in scope.acl:
            return grantee
    raise NotFound(f"'{name[:200]}' is not in the access control list of scope '{scope.name}'.")


def _only(name: str, found: Collection[Grantee]) -> Grantee:
    if not found:
        raise InvalidParameter(
            f"principal '{name[:200]}' is neither a user, a service principal nor a group; use a "
            "user name, an application id or the name of a group."
        )
    if len(found) > 1:
        raise InvalidParameter(
            f"principal '{name}' is a group and a principal at once; rename the group."
        )
    return next(iter(found))
