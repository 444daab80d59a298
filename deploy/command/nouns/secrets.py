"""The command `modelplane secrets`: scopes, secrets, and who may use them.

Called by `cli`. A value never stands in an argument, which every user of the machine could read.
"""

import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

from modelplane.deploy.command.api.documents import read_text
from modelplane.deploy.command.api.failures import WrongUsage
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.tables import column, time_column
from modelplane.deploy.command.api.verbs import Noun, Verb, argument, run_noun

PATH = "/api/2.0/secrets"
LEVELS = ("READ", "WRITE", "MANAGE")


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    return run_noun(NOUN, argv)


def _list_scopes(session: Session) -> None:
    answer = session.client.call("GET", f"{PATH}/scopes/list")
    columns = [column("SCOPE", "name"), column("KEPT BY", "backend_type")]
    session.show_rows(answer, columns, answer["scopes"])


def _create_scope(session: Session) -> None:
    scope = session.given.scope
    answer = session.client.call("POST", f"{PATH}/scopes/create", {"scope": scope})
    session.say(f"created scope {scope}", answer)


def _delete_scope(session: Session) -> None:
    scope = session.given.scope
    answer = session.client.call("POST", f"{PATH}/scopes/delete", {"scope": scope})
    session.say(f"deleted scope {scope} and its secrets", answer)


def _list(session: Session) -> None:
    answer = session.client.call("GET", f"{PATH}/list", query={"scope": session.given.scope})
    columns = [column("KEY", "key"), time_column("CHANGED", "last_updated_timestamp")]
    session.show_rows(answer, columns, answer["secrets"])


def _put(session: Session) -> None:
    given = session.given
    body = {"scope": given.scope, "key": given.key, "string_value": _value(session)}
    answer = session.client.call("POST", f"{PATH}/put", body)
    session.say(f"put {{{{secrets/{given.scope}/{given.key}}}}}", answer)


def _value(session: Session) -> str:
    given = session.given
    if given.from_env:
        if not (value := session.environ.get(given.from_env, "")):
            raise WrongUsage(f"the variable {given.from_env} is not set")
        return value
    if given.from_file:
        value = read_text(Path(given.from_file))
    elif sys.stdin.isatty():
        value = getpass.getpass(f"value of {given.scope}/{given.key}: ")
    else:
        value = sys.stdin.read()
    if not value:
        raise WrongUsage("the value is empty: give --from-env, --from-file, or standard input")
    return value


def _delete(session: Session) -> None:
    given = session.given
    body = {"scope": given.scope, "key": given.key}
    answer = session.client.call("POST", f"{PATH}/delete", body)
    session.say(f"deleted secret {given.scope}/{given.key}", answer)


def _list_acls(session: Session) -> None:
    query = {"scope": session.given.scope}
    answer = session.client.call("GET", f"{PATH}/acls/list", query=query)
    columns = [column("PRINCIPAL", "principal"), column("PERMISSION", "permission")]
    session.show_rows(answer, columns, answer["items"])


def _put_acl(session: Session) -> None:
    given = session.given
    body = {
        "scope": given.scope,
        "principal": given.principal,
        "permission": given.permission,
    }
    answer = session.client.call("POST", f"{PATH}/acls/put", body)
    session.say(f"{given.principal} has {given.permission} on scope {given.scope}", answer)


def _delete_acl(session: Session) -> None:
    given = session.given
    body = {"scope": given.scope, "principal": given.principal}
    answer = session.client.call("POST", f"{PATH}/acls/delete", body)
    session.say(f"{given.principal} has nothing on scope {given.scope} any more", answer)


def _scopes(session: Session) -> list[str]:
    return [str(one["name"]) for one in session.client.call("GET", f"{PATH}/scopes/list")["scopes"]]


_SCOPE = argument("scope", help="name of the scope", completer=_scopes)
_KEY = argument("key", help="name of the secret in its scope")
_PRINCIPAL = argument("principal", help="user name, application id, or name of a group")
NOUN = Noun(
    "secrets",
    "Keep the credentials of providers, and say who may use them.",
    (
        Verb("list-scopes", "list the scopes", _list_scopes),
        Verb("create-scope", "create a scope", _create_scope, (_SCOPE,)),
        Verb("delete-scope", "delete a scope with its secrets", _delete_scope, (_SCOPE,)),
        Verb("list", "list the secrets of a scope; their values are never shown", _list, (_SCOPE,)),
        Verb(
            "put",
            "put a secret: asked for, or read from standard input",
            _put,
            (
                _SCOPE,
                _KEY,
                argument("--from-env", default="", metavar="NAME", help="value of this variable"),
                argument("--from-file", default="", metavar="FILE", help="content of this file"),
            ),
        ),
        Verb("delete", "delete a secret", _delete, (_SCOPE, _KEY)),
        Verb("list-acls", "list who may use a scope", _list_acls, (_SCOPE,)),
        Verb(
            "put-acl",
            "let somebody use a scope",
            _put_acl,
            (
                _SCOPE,
                _PRINCIPAL,
                argument("permission", choices=LEVELS, help=", ".join(LEVELS)),
            ),
        ),
        Verb("delete-acl", "let somebody use a scope no more", _delete_acl, (_SCOPE, _PRINCIPAL)),
    ),
)
