"""Find a secret scope by name, to read it or to change it.

Before: `scopes`, `scope_acls`. After: `access`, `store.secrets.scopes`.
"""

from modelplane.control_plane.access import require_permission, scope_not_found
from modelplane.control_plane.principal import Permission, Principal
from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.secrets import scopes
from modelplane.control_plane.store.secrets.scopes import StoredScope


async def find_scope(
    session: Session, principal: Principal, name: str, needed: Permission
) -> StoredScope:
    """Return the scope called `name`.

    Raises:
        NotFound: There is none that the principal may see.
        PermissionDenied: It may see it, but has a lower permission than needed.
    """
    return _checked(await scopes.find_scope(session, name), principal, name, needed)


async def lock_scope(
    transaction: Transaction, principal: Principal, name: str, needed: Permission
) -> StoredScope:
    """Return the scope called `name`; nobody else changes it or its secrets meanwhile.

    Raises:
        NotFound: There is none that the principal may see.
        PermissionDenied: It may see it, but has a lower permission than needed.
    """
    found = await scopes.find_scope(transaction.session, name, lock=True)
    return _checked(found, principal, name, needed)


def _checked(
    scope: StoredScope | None, principal: Principal, name: str, needed: Permission
) -> StoredScope:
    if scope is None:
        raise scope_not_found(name)
    require_permission(principal, name, scope.acl, needed)
    return scope
