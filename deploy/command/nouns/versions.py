"""Verbs of `modelplane endpoints` about versions of configurations, and what models print.

Before: `endpoints`.
"""

import json

from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.failures import CommandFailed, Status, WrongUsage
from modelplane.deploy.command.api.rollouts import await_rollout, endpoint_path
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.tables import column, member, time_column
from modelplane.deploy.command.api.verbs import Verb, argument
from modelplane.deploy.command.nouns.endpoint_arguments import NAME, WAIT

_VERSIONS = "config-versions"


def _list(session: Session) -> None:
    found = _versions(session)
    columns = [
        column("VERSION", "config_version"),
        column("OUTCOME", "outcome"),
        time_column("CREATED", "creation_timestamp"),
        column("CREATOR", "creator"),
        column("WHY", "outcome_message"),
    ]
    session.show_rows({_VERSIONS.replace("-", "_"): found}, columns, found)


def _versions(session: Session) -> list[Json]:
    path = endpoint_path(session.given.name, _VERSIONS)
    return list(session.client.pages(path, "config_versions", {}))


def _diff(session: Session) -> Status:
    given = session.given
    old, new = given.from_version, given.to_version
    if old is None:
        known = sorted((one["config_version"] for one in _versions(session)), reverse=True)
        if len(known) < 2:  # noqa: PLR2004 - a pair
            raise WrongUsage(f"{given.name} has one version; there is nothing to compare")
        new, old = known[0], known[1]
    elif new is None:
        endpoint = session.client.call("GET", endpoint_path(given.name))
        new = member(endpoint, "config", "config_version")
    path = f"{endpoint_path(given.name, _VERSIONS, str(old))}:compare"
    answer = session.client.call("GET", path, query={"to_version": str(new)})
    differences = answer.get("differences", [])
    lines = [f"{given.name}: version {old} -> {new}\n"]
    for one in differences:
        lines += [f"- {one['path']}: {one['from_value']}\n" if "from_value" in one else ""]
        lines += [f"+ {one['path']}: {one['to_value']}\n" if "to_value" in one else ""]
    session.show(answer, "".join(lines))
    return Status.NEGATIVE if differences else Status.DONE


def _rollback(session: Session) -> None:
    given = session.given
    body = {"config_version": given.version}
    path = f"{endpoint_path(given.name)}/config:rollback"
    endpoint = session.client.call("POST", path, body)
    if given.wait:
        endpoint = await_rollout(session, endpoint, given.timeout)
    version = member(endpoint, "config", "config_version")
    going = member(endpoint, "state", "config_update") == "IN_PROGRESS"
    told = "the update goes on" if going else f"version {version} serves"
    session.say(f"{given.name} goes back to version {given.version}: {told}", endpoint)


def _step(verb: str, done: str) -> Verb:
    def run(session: Session) -> None:
        path = f"{endpoint_path(session.given.name)}/config:{verb}"
        endpoint = session.client.call("POST", path, {})
        if verb == "start" and session.given.wait:
            endpoint = await_rollout(session, endpoint, session.given.timeout)
        session.say(f"{done} {session.given.name}", endpoint)

    summary = {
        "cancel": "stop an update that has not been activated yet",
        "stop": "end the processes of hosted models; queries are refused then",
        "start": "serve again what was stopped",
    }[verb]
    return Verb(verb, summary, run, (NAME, *(WAIT if verb == "start" else ())))


def _logs(session: Session) -> None:
    given = session.given
    names = [given.served_entity] if given.served_entity else _hosted(session)
    kind = "build-logs" if given.build else "logs"
    query = {"config_version": str(given.config_version)} if given.config_version else {}
    found = {}
    for name in names:
        path = endpoint_path(given.name, "served-models", name, kind)
        found[name] = session.client.call("GET", path, query=query).get("logs", "")
    many = len(found) > 1
    text = "".join(
        (f"==> {name} <==\n" if many else "") + log.rstrip("\n") + "\n"
        for name, log in found.items()
    )
    session.show({"logs": found}, text)


def _hosted(session: Session) -> list[str]:
    endpoint = session.client.call("GET", endpoint_path(session.given.name))
    config = endpoint.get("config") or endpoint.get("pending_config") or {}
    names = [
        str(entity["name"])
        for entity in config.get("served_entities", [])
        if not entity.get("external_model")
    ]
    if not names:
        raise CommandFailed(
            f"{session.given.name} has no hosted model, so it has no logs; what became of its "
            f"queries: modelplane usage --endpoint {session.given.name}",
            Status.NOT_THERE,
        )
    return names


def _openapi(session: Session) -> None:
    document = session.client.call("GET", endpoint_path(session.given.name, "openapi"))
    session.write(json.dumps(document, indent=2) + "\n")


def _metrics(session: Session) -> None:
    session.write(session.client.text(endpoint_path(session.given.name, "metrics")))


_VERSION = argument("version", type=int, help="version to go back to")
VERBS = (
    Verb("versions", "list the versions of the configuration", _list, (NAME,)),
    Verb(
        "diff",
        "compare two versions; exit status 1 tells that they differ",
        _diff,
        (
            NAME,
            argument(
                "from_version", nargs="?", type=int, help="default: the newest version but one"
            ),
            argument("to_version", nargs="?", type=int, help="default: the version that serves"),
        ),
    ),
    Verb("rollback", "go back to an earlier version", _rollback, (NAME, _VERSION, *WAIT)),
    _step("cancel", "stopped the update of"),
    _step("stop", "stopped"),
    _step("start", "started"),
    Verb(
        "logs",
        "show what the processes of hosted models print",
        _logs,
        (
            NAME,
            argument("--served-entity", default="", help="only this one"),
            argument("--build", action="store_true", help="how it was fetched and built instead"),
            argument("--config-version", type=int, help="of this version of the configuration"),
        ),
    ),
    Verb("openapi", "print the OpenAPI document of the endpoint", _openapi, (NAME,)),
    Verb("metrics", "print the metrics of the endpoint", _metrics, (NAME,)),
)
