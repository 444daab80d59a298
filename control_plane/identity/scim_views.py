"""Between stored identities and the messages of SCIM.

Used by `scim_servicer`.
"""

from modelserving.v1.identity_pb2 import (
    Group,
    PersonName,
    Reference,
    ResourceMeta,
    ServicePrincipal,
    User,
)

from modelplane.control_plane.principal import PrincipalKind
from modelplane.control_plane.store.identity.groups import Member, StoredGroup
from modelplane.control_plane.store.identity.principals import StoredPrincipal

LIST_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
_CORE = "urn:ietf:params:scim:schemas:core:2.0"


def build_user(stored: StoredPrincipal) -> User:
    """Return the message of a user, or of a service principal seen as one."""
    address = Reference(value=stored.name, type="work", primary=True)
    return User(
        schemas=[f"{_CORE}:User"],
        id=stored.id,
        user_name=stored.name,
        display_name=stored.display_name,
        name=PersonName(formatted=stored.display_name),
        emails=[address] if "@" in stored.name else [],
        active=stored.active,
        groups=_groups(stored),
    )


def build_service_principal(stored: StoredPrincipal) -> ServicePrincipal:
    """Return the message of a service principal."""
    return ServicePrincipal(
        schemas=[f"{_CORE}:ServicePrincipal"],
        id=stored.id,
        application_id=stored.name,
        display_name=stored.display_name,
        active=stored.active,
        groups=_groups(stored),
    )


def build_group(stored: StoredGroup) -> Group:
    """Return the message of a group."""
    return Group(
        schemas=[f"{_CORE}:Group"],
        id=stored.id,
        display_name=stored.name,
        members=[_member(member) for member in stored.members.values()],
        meta=ResourceMeta(resource_type="WorkspaceGroup"),
    )


def parse_display_name(user: User) -> str:
    """Return the name that a user is to be shown by; empty: none was given."""
    if user.display_name:
        return user.display_name
    parts = (user.name.given_name, user.name.family_name)
    return user.name.formatted or " ".join(part for part in parts if part)


def _groups(stored: StoredPrincipal) -> list[Reference]:
    return [
        Reference(value=group_id, display=name, ref=f"Groups/{group_id}", type="direct")
        for group_id, name in stored.groups.items()
    ]


def _member(member: Member) -> Reference:
    path = "Users" if member.kind is PrincipalKind.USER else "ServicePrincipals"
    return Reference(value=member.id, display=member.display_name, ref=f"{path}/{member.id}")
