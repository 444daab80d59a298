"""Who calls, and what may be granted to them: plain values.

Used by `authentication`, `access` and the stores.
"""

from dataclasses import dataclass
from enum import IntEnum

from modelplane.control_plane.store.tables import PrincipalKind

# Groups that every deployment has.
ADMINS_ID = "1"
ADMINS = "admins"
USERS_ID = "2"
USERS = "users"


@dataclass(frozen=True, slots=True)
class Principal:
    """A user or a service principal.

    Attributes:
        id: Identifier; grants name it.
        name: User name, or application id of a service principal.
        admin: Whether it may do everything.
        kind: What it is.
        group_ids: Groups that it is in, `users` included.
    """

    id: str
    name: str
    admin: bool = False
    kind: PrincipalKind = PrincipalKind.USER
    group_ids: frozenset[str] = frozenset({USERS_ID})


class Level(IntEnum):
    """What a principal may do with an endpoint; each level includes those below it."""

    NONE = 0
    CAN_VIEW = 1
    CAN_QUERY = 2
    CAN_MANAGE = 3


class Permission(IntEnum):
    """What a principal may do with a secret scope; each permission includes those below it."""

    NONE = 0
    READ = 1
    WRITE = 2
    MANAGE = 3
