"""The command `modelplane endpoints`: define, change and read serving endpoints.

Called by `cli`. Beside: `queries`, whose verbs ask models, `traffic`, and `versions`.
"""

from collections.abc import Sequence

from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.documents import JSON_HELP, read_json
from modelplane.deploy.command.api.failures import WrongUsage
from modelplane.deploy.command.api.rollouts import ENDPOINTS, await_rollout, endpoint_path
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.tables import Column, column, member
from modelplane.deploy.command.api.verbs import Noun, Verb, argument, run_noun
from modelplane.deploy.command.nouns import queries, traffic, versions
from modelplane.deploy.command.nouns.endpoint_arguments import (
    NAME,
    WAIT,
    list_endpoints,
    names_of_endpoints,
)
from modelplane.deploy.command.nouns.endpoint_words import (
    describe,
    limits_of,
    models_of,
    state_of,
    tags_of,
)

_JSON = argument("--json", required=True, metavar="JSON", help=JSON_HELP)


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    return run_noun(NOUN, argv)


def _list(session: Session) -> None:
    found = list_endpoints(session)
    columns = [
        column("NAME", "name"),
        Column("STATE", state_of),
        column("TASK", "task"),
        Column("MODELS", models_of),
        column("VERSION", "config", "config_version"),
        column("CREATOR", "creator_display_name"),
    ]
    session.show_rows({"endpoints": found}, columns, found)


def _get(session: Session) -> None:
    endpoint = session.client.call("GET", endpoint_path(session.given.name))
    session.show(endpoint, describe(endpoint, session.width))


def _create(session: Session) -> None:
    body = read_json(session.given.json)
    if session.given.name:
        body = {**body, "name": session.given.name}
    endpoint = session.client.call("POST", ENDPOINTS, body)
    _report(session, endpoint, "created")


def _update_config(session: Session) -> None:
    body = read_json(session.given.json)
    # The whole body of a create is taken, too.
    body = body.get("config", body)
    path = endpoint_path(session.given.name, "config")
    _report(session, session.client.call("PUT", path, body), "updated")


def _report(session: Session, endpoint: Json, done: str) -> None:
    """Tell what became of a change, which is awaited unless that is not wanted."""
    if session.given.wait:
        endpoint = await_rollout(session, endpoint, session.given.timeout)
    version = member(endpoint, "config", "config_version")
    text = f"{done} {endpoint['name']}"
    if member(endpoint, "state", "config_update") == "IN_PROGRESS":
        text += "; the update goes on"
    elif version:
        text += f": version {version} serves"
    session.say(text, endpoint)


def _patch(session: Session) -> None:
    given = session.given
    body = read_json(given.json) if given.json else {}
    if added := [_tag(text) for text in given.tag or ()]:
        body["add_tags"] = [*body.get("add_tags", []), *added]
    if given.delete_tag:
        body["delete_tags"] = [*body.get("delete_tags", []), *given.delete_tag]
    if not body:
        raise WrongUsage("nothing is to be changed: give --tag, --delete-tag or --json")
    answer = session.client.call("PATCH", endpoint_path(given.name, "tags"), body)
    session.say(f"patched {given.name}: tags are {tags_of(answer) or 'none'}", answer)


def _tag(text: str) -> Json:
    key, separator, value = text.partition("=")
    return {"key": key, "value": value} if separator else {"key": key}


def _put_ai_gateway(session: Session) -> None:
    body = read_json(session.given.json)
    path = endpoint_path(session.given.name, "ai-gateway")
    answer = session.client.call("PUT", path, body.get("ai_gateway", body))
    limits = "; ".join(limits_of({"ai_gateway": answer})) or "none"
    session.say(f"set the AI Gateway of {session.given.name}; limits: {limits}", answer)


def _delete(session: Session) -> None:
    for name in session.given.names:
        session.client.call("DELETE", endpoint_path(name))
        if not session.is_json:
            session.say(f"deleted {name}")


NOUN = Noun(
    "endpoints",
    "Define, change, read and query serving endpoints.",
    (
        Verb("list", "list the endpoints that you may see", _list),
        Verb("get", "show an endpoint", _get, (NAME,)),
        Verb(
            "create",
            "create an endpoint, and wait until it serves",
            _create,
            (
                argument("name", nargs="?", default="", help="its name; else that of the JSON"),
                _JSON,
                *WAIT,
            ),
        ),
        Verb(
            "update-config",
            "replace the configuration, and wait until it serves",
            _update_config,
            (NAME, _JSON, *WAIT),
        ),
        Verb(
            "put-ai-gateway",
            "replace limits, retries, fallbacks, timeouts and usage tracking",
            _put_ai_gateway,
            (NAME, _JSON),
        ),
        Verb(
            "patch",
            "change the tags",
            _patch,
            (
                NAME,
                argument("--tag", action="append", metavar="KEY[=VALUE]", help="set a tag"),
                argument("--delete-tag", action="append", metavar="KEY", help="remove a tag"),
                argument("--json", default="", metavar="JSON", help=JSON_HELP),
            ),
        ),
        Verb(
            "delete",
            "delete endpoints",
            _delete,
            (
                argument(
                    "names",
                    nargs="+",
                    metavar="NAME",
                    help="name of an endpoint",
                    completer=names_of_endpoints,
                ),
            ),
        ),
        *queries.VERBS,
        *versions.VERBS,
        *traffic.VERBS,
    ),
)
