"""The command `modelplane users`: the people who may call.

Called by `cli`. After: `scim`.
"""

from collections.abc import Sequence

from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.tables import Column, column
from modelplane.deploy.command.api.verbs import Noun, Verb, argument, run_noun
from modelplane.deploy.command.nouns.scim import (
    PATH,
    USERS,
    find,
    list_all,
    patch,
    principal_path,
)


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    return run_noun(NOUN, argv)


def _list(session: Session) -> None:
    found = list(list_all(session.client, USERS))
    session.show_rows({"Resources": found}, _COLUMNS, found)


def _get(session: Session) -> None:
    user = find(session.client, USERS, session.given.name)
    session.show_rows(user, _COLUMNS, [user])


def _me(session: Session) -> None:
    user = session.client.call("GET", f"{PATH}/Me")
    name = user.get("userName") or user.get("applicationId") or user.get("displayName")
    place = session.client.place
    text = f"{name} at {place.url} ({place.source}); groups: {_groups(user) or 'none'}\n"
    session.show(user, text)


def _create(session: Session) -> None:
    given = session.given
    body = {"userName": given.name}
    if given.display_name:
        body["displayName"] = given.display_name
    user = session.client.call("POST", f"{PATH}/{USERS.path}", body)
    session.say(
        f"created user {user['userName']}; a first token: modelplane tokens create --for "
        f"{user['userName']}",
        user,
    )


def _set_active(session: Session, *, active: bool) -> None:
    user = find(session.client, USERS, session.given.name)
    operation = {"op": "replace", "path": "active", "value": active}
    changed = patch(session.client, USERS, user["id"], operation)
    may = "may call again" if active else "may not call any more; tokens and grants are kept"
    session.say(f"{user['userName']} {may}", changed)


def _activate(session: Session) -> None:
    _set_active(session, active=True)


def _deactivate(session: Session) -> None:
    _set_active(session, active=False)


def _delete(session: Session) -> None:
    user = find(session.client, USERS, session.given.name)
    answer = session.client.call("DELETE", principal_path(USERS, user["id"]))
    session.say(f"deleted user {user['userName']}, with tokens and grants", answer)


def _groups(user: Json) -> str:
    return ", ".join(str(group.get("display")) for group in user.get("groups", []))


def _names(session: Session) -> list[str]:
    return [str(user["userName"]) for user in list_all(session.client, USERS)]


_COLUMNS = [
    column("NAME", "userName"),
    column("DISPLAY NAME", "displayName"),
    column("ACTIVE", "active"),
    Column("GROUPS", _groups),  # type: ignore[arg-type]
    column("ID", "id"),
]
_NAME = argument("name", help="user name, or identifier", completer=_names)
NOUN = Noun(
    "users",
    "Let people in, and shut them out.",
    (
        Verb("list", "list the users", _list),
        Verb("get", "show a user", _get, (_NAME,)),
        Verb("me", "show who you are, and where", _me),
        Verb(
            "create",
            "create a user",
            _create,
            (
                argument("name", help="user name, such as an address of email"),
                argument("--display-name", default="", help="name for people"),
            ),
        ),
        Verb("deactivate", "shut a user out; tokens and grants are kept", _deactivate, (_NAME,)),
        Verb("activate", "let a user in again", _activate, (_NAME,)),
        Verb("delete", "delete a user with tokens and grants", _delete, (_NAME,)),
    ),
)
