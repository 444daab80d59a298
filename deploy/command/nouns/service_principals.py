"""The command `modelplane service-principals`: the programs that may call.

Called by `cli`. After: `scim`.
"""

from collections.abc import Sequence

from modelplane.deploy.command.api.client import Json, path_of
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.tables import column
from modelplane.deploy.command.api.verbs import Noun, Verb, argument, run_noun
from modelplane.deploy.command.nouns.scim import (
    PATH,
    SERVICE_PRINCIPALS,
    find,
    list_all,
    principal_path,
)


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    return run_noun(NOUN, argv)


def _list(session: Session) -> None:
    found = list(list_all(session.client, SERVICE_PRINCIPALS))
    session.show_rows({"Resources": found}, _COLUMNS, found)


def _get(session: Session) -> None:
    found = _find(session)
    session.show_rows(found, _COLUMNS, [found])


def _create(session: Session) -> None:
    body = {"displayName": session.given.name}
    made = session.client.call("POST", f"{PATH}/{SERVICE_PRINCIPALS.path}", body)
    session.say(
        f"created {made['displayName']}: application id (client id) {made['applicationId']}", made
    )


def _delete(session: Session) -> None:
    found = _find(session)
    path = principal_path(SERVICE_PRINCIPALS, found["id"])
    answer = session.client.call("DELETE", path)
    session.say(f"deleted service principal {found['displayName']}", answer)


def _create_secret(session: Session) -> None:
    answer = session.client.call("POST", _secrets(session), {})
    session.show(answer, f"{answer['secret']}\n")
    if session.is_watched and not session.is_json:
        session.note("It is shown this once; only its digest is kept.")


def _list_secrets(session: Session) -> None:
    answer = session.client.call("GET", _secrets(session))
    columns = [column("ID", "id"), column("CREATED", "create_time"), column("STATUS", "status")]
    session.show_rows(answer, columns, answer.get("secrets", []))


def _delete_secret(session: Session) -> None:
    answer = session.client.call("DELETE", _secrets(session) + path_of(session.given.id))
    session.say(f"deleted client secret {session.given.id}; tokens by it are void", answer)


def _find(session: Session) -> Json:
    return find(session.client, SERVICE_PRINCIPALS, session.given.name)


def _secrets(session: Session) -> str:
    identifier = str(_find(session)["id"])
    parts = ("accounts", "servicePrincipals", identifier, "credentials", "secrets")
    return "/api/2.0" + path_of(*parts)


_COLUMNS = [
    column("NAME", "displayName"),
    column("APPLICATION ID", "applicationId"),
    column("ACTIVE", "active"),
    column("ID", "id"),
]
_NAME = argument("name", help="application id, name, or identifier")
NOUN = Noun(
    "service-principals",
    "Let programs in.",
    (
        Verb("list", "list the service principals", _list),
        Verb("get", "show a service principal", _get, (_NAME,)),
        Verb(
            "create",
            "create a service principal",
            _create,
            (argument("name", help="name for people"),),
        ),
        Verb("delete", "delete a service principal", _delete, (_NAME,)),
        Verb(
            "create-secret",
            "make a client secret and print it, this once",
            _create_secret,
            (_NAME,),
        ),
        Verb("list-secrets", "list the client secrets, without values", _list_secrets, (_NAME,)),
        Verb(
            "delete-secret",
            "delete a client secret",
            _delete_secret,
            (_NAME, argument("id", help="identifier, as `list-secrets` shows it")),
        ),
    ),
)
