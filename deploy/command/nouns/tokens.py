"""The command `modelplane tokens`: access tokens of oneself, and of others.

Called by `cli`.
"""

import argparse
import re
from collections.abc import Sequence

from modelplane.deploy.command.api.client import path_of
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.tables import Column, column, format_time, time_column
from modelplane.deploy.command.api.verbs import Noun, Verb, argument, run_noun

_OWN = "/api/2.0/token"
_MANAGED = "/api/2.0/token-management"
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LIFETIME = re.compile(r"(\d{1,9})([smhd]?)")


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    return run_noun(NOUN, argv)


def _list(session: Session) -> None:
    given = session.given
    path = f"{_MANAGED}/tokens" if given.all else f"{_OWN}/list"
    answer = session.client.call("GET", path)
    columns = [
        column("ID", "token_id"),
        column("COMMENT", "comment"),
        time_column("CREATED", "creation_time"),
        Column("EXPIRES", lambda row: _expiry(row.get("expiry_time"))),
    ]
    if given.all:
        columns.insert(1, column("CREATED BY", "created_by_username"))
        columns.insert(2, column("OWNER ID", "owner_id"))
    session.show_rows(answer, columns, answer["token_infos"])


def _expiry(milliseconds: object) -> str:
    return "never" if milliseconds == -1 else format_time(milliseconds)


def _create(session: Session) -> None:
    given = session.given
    body: dict[str, object] = {"comment": given.comment}
    if given.lifetime:
        body["lifetime_seconds"] = given.lifetime
    path = f"{_OWN}/create"
    if given.principal:
        path = f"{_MANAGED}/on-behalf-of/tokens"
        body["application_id"] = given.principal
    answer = session.client.call("POST", path, body)
    session.show(answer, f"{answer['token_value']}\n")
    if session.is_watched and not session.is_json:
        session.note("It is shown this once; only its digest is kept.")


def _delete(session: Session) -> None:
    given = session.given
    if given.all:
        answer = session.client.call("DELETE", _MANAGED + path_of("tokens", given.id))
    else:
        answer = session.client.call("POST", f"{_OWN}/delete", {"token_id": given.id})
    session.say(f"revoked token {given.id}", answer)


def _lifetime(text: str) -> int:
    if not (found := _LIFETIME.fullmatch(text)):
        raise argparse.ArgumentTypeError(f"{text} is no time such as 3600, 90m, 12h or 30d")
    return int(found[1]) * _UNITS[found[2]]


_ALL = argument("--all", action="store_true", help="of everybody, for administrators")
NOUN = Noun(
    "tokens",
    "Make, list and revoke access tokens.",
    (
        Verb("list", "list your tokens", _list, (_ALL,)),
        Verb(
            "create",
            "make a token and print it, this once",
            _create,
            (
                argument("--comment", default="", help="what it is for"),
                argument(
                    "--lifetime",
                    type=_lifetime,
                    metavar="TIME",
                    help="when it ends: 3600 (seconds), 90m, 12h or 30d; default: never",
                ),
                argument(
                    "--for",
                    dest="principal",
                    default="",
                    metavar="PRINCIPAL",
                    help="a user's first token, or one of a service principal (application id)",
                ),
            ),
        ),
        Verb(
            "delete",
            "revoke a token",
            _delete,
            (argument("id", help="identifier, as `list` shows it"), _ALL),
        ),
    ),
)
