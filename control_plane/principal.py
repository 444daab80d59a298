"""Who calls, and what may be granted to them: plain values.

Used by `identity.authentication`, `access`, the servicers and the store.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum, StrEnum

# Groups that every deployment has.
ADMINS_ID = "1"
ADMINS = "admins"
USERS_ID = "2"
USERS = "users"


class PrincipalKind(StrEnum):
    """What a principal is."""

    USER = "user"
    SERVICE_PRINCIPAL = "service_principal"


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


# Principal of the RPC that runs in this context. The interceptor sets it, and the servicers, which
# gRPC calls with nothing but the request, hand it on; nobody else reads it.
current_principal: ContextVar[Principal] = ContextVar("current_principal")
# A call that carries no access token tells this who makes it, once it knows: from then on what it
# changes is in the audit log. The interceptor sets it.
caller_found: ContextVar[Callable[[Principal], None]] = ContextVar("caller_found")


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
