"""Who may do what with an endpoint.

For now an administrator may do everything, and the creator of an endpoint manages it.

Before: `endpoints`, `endpoint_settings`, `secrets`, `endpoint_views`.
"""

from control_plane.authentication import Principal
from control_plane.errors import PermissionDenied

CAN_MANAGE = "CAN_MANAGE"
CAN_QUERY = "CAN_QUERY"


def permission_level(principal: Principal, creator: str) -> str:
    """Return the principal's level on an endpoint made by `creator`."""
    return CAN_MANAGE if principal.admin or principal.name == creator else CAN_QUERY


def require_manage(principal: Principal, name: str, creator: str) -> None:
    """Check that the principal may change the endpoint `name`.

    Raises:
        PermissionDenied: It may not.
    """
    if permission_level(principal, creator) != CAN_MANAGE:
        raise PermissionDenied(
            f"'{principal.name}' needs {CAN_MANAGE} on endpoint '{name}'; ask its creator "
            f"'{creator}'."
        )


def require_admin(principal: Principal) -> None:
    """Check that the principal is an administrator.

    Raises:
        PermissionDenied: It is not.
    """
    if not principal.admin:
        raise PermissionDenied(f"'{principal.name}' is no administrator; ask one.")
