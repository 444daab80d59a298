"""The command `modelplane permissions`: who may do what with an endpoint.

Called by `cli`.
"""

from collections.abc import Iterator, Sequence

from modelplane.deploy.command.api.client import ApiClient, Json, path_of
from modelplane.deploy.command.api.documents import JSON_HELP, read_json
from modelplane.deploy.command.api.failures import CommandFailed, Status
from modelplane.deploy.command.api.rollouts import endpoint_path
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.tables import Column, column
from modelplane.deploy.command.api.verbs import Noun, Verb, argument, run_noun
from modelplane.deploy.command.nouns.endpoint_arguments import NAME

LEVELS = ("CAN_VIEW", "CAN_QUERY", "CAN_MANAGE")
PRINCIPALS = ("user_name", "group_name", "service_principal_name")
_ACL = "access_control_list"


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    return run_noun(NOUN, argv)


def permissions_path(client: ApiClient, name: str) -> str:
    """Return the path of the permissions of an endpoint, which go by its identifier."""
    identifier = client.call("GET", endpoint_path(name)).get("id")
    if identifier is None:
        raise CommandFailed(
            f"'{name}' is a foundation model, which everyone may query: it has no permissions to "
            "be shown or changed",
            Status.USAGE,
        )
    return "/api/2.0/permissions/serving-endpoints" + path_of(identifier)


def direct_grants(document: Json) -> Iterator[Json]:
    """Yield what was granted on the endpoint itself, as a request has it."""
    for entry in document.get(_ACL, []):
        who = {name: entry[name] for name in PRINCIPALS if name in entry}
        for permission in entry.get("all_permissions", []):
            if not permission.get("inherited"):
                yield who | {"permission_level": permission["permission_level"]}


def _get(session: Session) -> None:
    _show(session, session.client.call("GET", _path(session)))


def _show(session: Session, document: Json) -> None:
    rows = [
        {
            "who": next(entry[name] for name in PRINCIPALS if name in entry),
            "kind": next(name for name in PRINCIPALS if name in entry).removesuffix("_name"),
            **permission,
        }
        for entry in document.get(_ACL, [])
        for permission in entry.get("all_permissions", [])
    ]
    columns = [
        column("WHO", "who"),
        Column("KIND", lambda row: row["kind"].replace("_", " ")),
        column("LEVEL", "permission_level"),
        column("INHERITED", "inherited"),
    ]
    session.show_rows(document, columns, rows)


def _levels(session: Session) -> None:
    document = session.client.call("GET", f"{_path(session)}/permissionLevels")
    columns = [column("LEVEL", "permission_level"), column("ALLOWS", "description")]
    session.show_rows(document, columns, document["permission_levels"])


def _grant(session: Session) -> None:
    given = session.given
    body = {_ACL: [_who(session) | {"permission_level": given.level}]}
    _show(session, session.client.call("PATCH", _path(session), body))


def _revoke(session: Session) -> None:
    path = _path(session)
    who = _who(session)
    grants = list(direct_grants(session.client.call("GET", path)))
    kept = [grant for grant in grants if not who.items() <= grant.items()]
    if len(kept) == len(grants):
        [name] = who.values()
        raise CommandFailed(
            f"nothing is granted to {name} on {session.given.name} itself", Status.NOT_THERE
        )
    _show(session, session.client.call("PUT", path, {_ACL: kept}))


def _set(session: Session) -> None:
    body = read_json(session.given.json)
    _show(session, session.client.call("PUT", _path(session), body))


def _path(session: Session) -> str:
    return permissions_path(session.client, session.given.name)


def _who(session: Session) -> Json:
    given = session.given
    return {name: getattr(given, name) for name in PRINCIPALS if getattr(given, name) is not None}


_PRINCIPAL_FLAGS = (
    argument("--user", dest="user_name", help="name of a user"),
    argument("--group", dest="group_name", help="name of a group"),
    argument("--service-principal", dest="service_principal_name", help="application id of one"),
)
_LEVEL = argument(
    "level", choices=LEVELS, metavar="LEVEL", help=f"{', '.join(LEVELS)}; each has those before it"
)
NOUN = Noun(
    "permissions",
    "Say who may view, query and manage an endpoint.",
    (
        Verb("get", "show who may do what", _get, (NAME,)),
        Verb("levels", "show what may be granted", _levels, (NAME,)),
        Verb("grant", "give somebody a level", _grant, (NAME, _LEVEL), one_of=_PRINCIPAL_FLAGS),
        Verb("revoke", "take away what was granted", _revoke, (NAME,), one_of=_PRINCIPAL_FLAGS),
        Verb(
            "set",
            "replace all grants by an access_control_list",
            _set,
            (NAME, argument("--json", required=True, metavar="JSON", help=JSON_HELP)),
        ),
    ),
)
