"""Who may do what with a secret scope: decided from its access control list.

As with endpoints, what a principal may not see does not exist for it. Before: `scopes`,
`scope_acls`, `references`. After: `principal`.
"""

from collections.abc import Mapping

from modelplane.control_plane.errors import NotFound, PermissionDenied
from modelplane.control_plane.principal import Permission, Principal
from modelplane.control_plane.store.secrets.scopes import StoredScope


def permission_of(principal: Principal, acl: Mapping[str, Permission]) -> Permission:
    """Return what an access control list, by identifiers, allows a principal."""
    if principal.admin:
        return Permission.MANAGE
    ids = (principal.id, *principal.group_ids)
    return max(acl.get(grantee, Permission.NONE) for grantee in ids)


def require_permission(
    principal: Principal, name: str, scope: StoredScope | None, needed: Permission
) -> StoredScope:
    """Return the scope called `name` if the principal has a permission on it.

    Raises:
        NotFound: There is no such scope, or none that the principal may see.
        PermissionDenied: The principal may see it, but has too low a permission.
    """
    held = permission_of(principal, scope.acl) if scope else Permission.NONE
    if scope is None or held is Permission.NONE:
        raise NotFound(f"Scope '{name[:200]}' does not exist; create it first.")
    if held < needed:
        raise PermissionDenied(
            f"'{principal.name}' needs {needed.name} on scope '{name}'; ask one who manages it."
        )
    return scope
