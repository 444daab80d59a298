"""Who may do what with an endpoint or a secret scope: decided from what was granted.

What a principal may not see does not exist for it; what it may see but not do is refused. Workers
decide on endpoints in the same way (`data_plane/access.py`). Before: `endpoints.lookup`,
`endpoints.views`, `secrets.lookup`, `identity`. After: `principal`.
"""

from collections.abc import Mapping

from modelplane.control_plane.errors import NotFound, PermissionDenied
from modelplane.control_plane.principal import Level, Permission, Principal


def level_of(principal: Principal, grants: Mapping[str, Level]) -> Level:
    """Return what `grants`, by identifiers of principals and groups, allow a principal."""
    if principal.admin:
        return Level.CAN_MANAGE
    held = [grants.get(grantee, Level.NONE) for grantee in principal.group_ids]
    return max(grants.get(principal.id, Level.NONE), *held, Level.NONE)


def require_level(
    principal: Principal, name: str, grants: Mapping[str, Level], needed: Level
) -> None:
    """Check that a principal has a level on the endpoint `name`.

    Raises:
        NotFound: It may not even see the endpoint.
        PermissionDenied: It may see it, but has too low a level.
    """
    level = level_of(principal, grants)
    if level is Level.NONE:
        raise endpoint_not_found(name)
    if level < needed:
        raise PermissionDenied(
            f"'{principal.name}' needs {needed.name} on endpoint '{name}'; ask one who manages it."
        )


def endpoint_not_found(name: str) -> NotFound:
    """Return the error for an endpoint that does not exist, or not for the caller."""
    return NotFound(f"Endpoint with name '{name}' does not exist.")


def permission_of(principal: Principal, acl: Mapping[str, Permission]) -> Permission:
    """Return what the access control list of a scope, by identifiers, allows a principal."""
    if principal.admin:
        return Permission.MANAGE
    ids = (principal.id, *principal.group_ids)
    return max(acl.get(grantee, Permission.NONE) for grantee in ids)


def require_permission(
    principal: Principal, name: str, acl: Mapping[str, Permission], needed: Permission
) -> None:
    """Check that a principal has a permission on the scope `name`.

    Raises:
        NotFound: It may not even see the scope.
        PermissionDenied: It may see it, but has too low a permission.
    """
    held = permission_of(principal, acl)
    if held is Permission.NONE:
        raise scope_not_found(name)
    if held < needed:
        raise PermissionDenied(
            f"'{principal.name}' needs {needed.name} on scope '{name}'; ask one who manages it."
        )


def scope_not_found(name: str) -> NotFound:
    """Return the error for a scope that does not exist, or not for the caller."""
    return NotFound(f"Scope '{name[:200]}' does not exist; create it first.")


def require_admin(principal: Principal) -> None:
    """Check that the principal is an administrator.

    Raises:
        PermissionDenied: It is not.
    """
    if not principal.admin:
        raise PermissionDenied(f"'{principal.name}' is no administrator; ask one.")
