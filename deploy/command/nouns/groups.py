"""The command `modelplane groups`: users and service principals together.

Called by `cli`. After: `scim`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.tables import Column, column
from modelplane.deploy.command.api.verbs import Noun, Verb, argument, run_noun
from modelplane.deploy.command.nouns.scim import (
    GROUPS,
    PATH,
    find,
    find_any,
    list_all,
    patch,
    principal_path,
)


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    return run_noun(NOUN, argv)


def _list(session: Session) -> None:
    found = list(list_all(session.client, GROUPS))
    session.show_rows({"Resources": found}, _COLUMNS, found)


def _get(session: Session) -> None:
    group = find(session.client, GROUPS, session.given.name)
    session.show_rows(group, _COLUMNS, [group])


def _create(session: Session) -> None:
    given = session.given
    members = [{"value": find_any(session.client, name)["id"]} for name in given.member or ()]
    body = {"displayName": given.name, "members": members}
    group = session.client.call("POST", f"{PATH}/{GROUPS.path}", body)
    session.say(f"created group {group['displayName']}", group)


def _add(session: Session) -> None:
    given = session.given
    group = find(session.client, GROUPS, given.name)
    values = [{"value": find_any(session.client, name)["id"]} for name in given.members]
    operation = {"op": "add", "path": "members", "value": values}
    changed = patch(session.client, GROUPS, group["id"], operation)
    session.say(f"members of {given.name}: {_members(changed) or 'none'}", changed)


def _remove(session: Session) -> None:
    given = session.given
    group = find(session.client, GROUPS, given.name)
    changed = group
    for name in given.members:
        identifier = find_any(session.client, name)["id"]
        operation = {"op": "remove", "path": f'members[value eq "{identifier}"]'}
        changed = patch(session.client, GROUPS, group["id"], operation)
    session.say(f"members of {given.name}: {_members(changed) or 'none'}", changed)


def _delete(session: Session) -> None:
    group = find(session.client, GROUPS, session.given.name)
    answer = session.client.call("DELETE", principal_path(GROUPS, group["id"]))
    session.say(f"deleted group {group['displayName']}", answer)


def _members(group: Mapping[str, Any]) -> str:
    return ", ".join(str(one.get("display")) for one in group.get("members", []))


def _names(session: Session) -> list[str]:
    return [str(group["displayName"]) for group in list_all(session.client, GROUPS)]


_COLUMNS = [column("NAME", "displayName"), Column("MEMBERS", _members), column("ID", "id")]
_NAME = argument("name", help="name of the group, or identifier", completer=_names)
_MEMBERS = argument(
    "members", nargs="+", metavar="MEMBER", help="user name, application id, or name of a group"
)
NOUN = Noun(
    "groups",
    "Put users and service principals together.",
    (
        Verb("list", "list the groups", _list),
        Verb("get", "show a group", _get, (_NAME,)),
        Verb(
            "create",
            "create a group",
            _create,
            (
                argument("name", help="name of the group"),
                argument("--member", action="append", help="somebody who is in it"),
            ),
        ),
        Verb("add-members", "put somebody into a group", _add, (_NAME, _MEMBERS)),
        Verb("remove-members", "take somebody out of a group", _remove, (_NAME, _MEMBERS)),
        Verb("delete", "delete a group", _delete, (_NAME,)),
    ),
)
