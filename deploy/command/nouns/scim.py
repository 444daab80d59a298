"""Users, groups and service principals over SCIM: what their commands share.

Before: `users`, `groups`, `service_principals`, `permissions`; `declared`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from modelplane.deploy.command.api.client import ApiClient, Json, path_of
from modelplane.deploy.command.api.failures import CommandFailed, Status

PATH = "/api/2.0/preview/scim/v2"
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of principals.

    Attributes:
        path: Its part of the path.
        word: What one is called.
        names: Attributes that one is known by, the first of them unique.
    """

    path: str
    word: str
    names: tuple[str, ...]


USERS = Kind("Users", "user", ("userName",))
GROUPS = Kind("Groups", "group", ("displayName",))
SERVICE_PRINCIPALS = Kind(
    "ServicePrincipals", "service principal", ("applicationId", "displayName")
)


def list_all(client: ApiClient, kind: Kind, filter_text: str = "") -> Iterator[Json]:
    """Yield the principals of a kind, page after page."""
    start = 1
    query = {"count": str(_PAGE)} | ({"filter": filter_text} if filter_text else {})
    while True:
        page = client.call("GET", f"{PATH}/{kind.path}", query=query | {"startIndex": str(start)})
        found = page.get("Resources", [])
        yield from found
        start += len(found)
        if not found or start > page.get("totalResults", 0):
            return


def find(client: ApiClient, kind: Kind, name: str) -> Json:
    """Return the principal with a name or an identifier.

    Raises:
        CommandFailed: There is none, or more than one.
    """
    if found := look_up(client, kind, name):
        return found
    if name.isdecimal():
        return client.call("GET", principal_path(kind, name))
    raise CommandFailed(
        f"there is no {kind.word} '{name}'; `modelplane {kind.word.replace(' ', '-')}s list` "
        "shows those that there are",
        Status.NOT_THERE,
    )


def look_up(client: ApiClient, kind: Kind, name: str) -> Json | None:
    """Return the principal with a name, None where there is none.

    Raises:
        CommandFailed: There are several.
    """
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    for attribute in kind.names:
        found = list(list_all(client, kind, f'{attribute} eq "{escaped}"'))
        if len(found) > 1:
            unique = ", ".join(str(one[kind.names[0]]) for one in found)
            raise CommandFailed(
                f"several have the name '{name}'; give one of {unique}", Status.NOT_NOW
            )
        if found:
            return found[0]
    return None


def find_any(client: ApiClient, name: str) -> Json:
    """Return the user, group or service principal with a name.

    Raises:
        CommandFailed: There is none.
    """
    for kind in (USERS, SERVICE_PRINCIPALS, GROUPS):
        if found := look_up(client, kind, name):
            return found
    raise CommandFailed(f"there is no user, service principal or group '{name}'", Status.NOT_THERE)


def principal_path(kind: Kind, identifier: str) -> str:
    """Return the path of a principal."""
    return PATH + path_of(kind.path, identifier)


def patch(client: ApiClient, kind: Kind, identifier: str, operation: Json) -> Json:
    """Change a principal by one operation of SCIM; return it."""
    return client.call("PATCH", principal_path(kind, identifier), {"Operations": [operation]})
