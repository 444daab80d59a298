"""The command `modelplane status`: what runs, with which revision, what serves, which limits hold.

Called by `cli`. The parts and their revisions are told where they run on this machine, whose data
directory says where their metrics are; all else comes from the API.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import requests

from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.failures import CommandFailed, Status
from modelplane.deploy.command.api.places import read_state
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.tables import column, format_table, member
from modelplane.deploy.command.api.verbs import OUTPUT, run_command
from modelplane.deploy.command.nouns.endpoint_arguments import list_endpoints
from modelplane.deploy.command.nouns.endpoint_words import limits_of, state_of

_DESCRIPTION = """\
Show what runs, which revision it has, what serves, and which limits hold.

Exit status 1 tells that something is not as it should be. Parts and revisions are
shown for a deployment on this machine.
"""
_SECONDS = 5.0
_APPLIED, _CONNECTED = "modelplane_applied_revision", "modelplane_control_plane_connected"
_REVISION = "modelplane_revision"


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    return run_command("status", _DESCRIPTION, (OUTPUT,), _status, argv)


def _status(session: Session) -> Status:
    place = session.client.place
    health = _health(session)
    parts = list(_parts(read_state(place.directory))) if place.directory else []
    endpoints = [_endpoint(one) for one in list_endpoints(session)]
    document = {"url": place.url, "health": health, "parts": parts, "endpoints": endpoints}
    text = f"{place.url} ({place.source}): {health}\n"
    if parts:
        columns = [
            column("PART", "name"),
            column("STATE", "state"),
            column("REVISION", "revision"),
            column("PID", "pid"),
        ]
        text += "\n" + format_table(columns, parts, session.width)
    columns = [
        column("ENDPOINT", "name"),
        column("STATE", "state"),
        column("VERSION", "version"),
        column("LIMITS", "limits"),
    ]
    text += "\n" + format_table(columns, endpoints, session.width)
    text += f"\n{_counted(endpoints)}\n"
    session.show(document, text)
    fine = health == "ready" and all(part["state"] == "runs" for part in parts)
    return Status.DONE if fine and not _ill(endpoints) else Status.NEGATIVE


def _health(session: Session) -> str:
    try:
        session.client.text("/health")
    except CommandFailed:
        # The API may answer while no worker does.
        session.client.call("GET", "/api/2.0/preview/scim/v2/Me")
        return "no worker is ready"
    return "ready"


def _endpoint(endpoint: Json) -> Json:
    return {
        "name": endpoint["name"],
        "state": state_of(endpoint),
        "version": member(endpoint, "config", "config_version"),
        "limits": "; ".join(limits_of(endpoint)),
    }


def _ill(endpoints: Sequence[Json]) -> list[Json]:
    return [one for one in endpoints if one["state"].endswith("failed")]


def _counted(endpoints: Sequence[Json]) -> str:
    counts = Counter(one["state"] for one in endpoints)
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    noun = "endpoint" if len(endpoints) == 1 else "endpoints"
    return f"{len(endpoints)} {noun}" + (f": {states}" if states else "")


def _parts(state: Mapping[str, Any]) -> Iterator[Json]:
    """Yield the parts that run on this machine."""
    control = state.get("control_plane", {})
    newest = _metrics(control).get(_REVISION)
    if control:
        yield _part("control-plane", control, newest, is_behind=False)
    for worker in state.get("workers", []):
        metrics = _metrics(worker)
        applied = metrics.get(_APPLIED)
        is_behind = metrics.get(_CONNECTED) == 0 or (
            applied is not None and newest is not None and applied < newest
        )
        yield _part(worker["name"], worker, applied, is_behind=is_behind)
    for name in ("envoy", "launcher", "registry", "local_model"):
        if name in state:
            yield _part(name.replace("_", "-"), state[name], None, is_behind=False)


def _part(name: str, part: Mapping[str, Any], revision: float | None, *, is_behind: bool) -> Json:
    runs = is_alive(part.get("pid"))
    word = "runs" if runs else "does not run"
    return {
        "name": name,
        "state": "is behind" if runs and is_behind else word,
        "revision": None if revision is None else int(revision),
        "pid": part.get("pid"),
    }


def is_alive(pid: object) -> bool:
    """Tell whether a process runs."""
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _metrics(part: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics without labels of a part; empty where it does not answer."""
    if not (url := part.get("metrics_url")):
        return {}
    try:
        with requests.Session() as session:
            session.trust_env = False
            text = session.get(url, timeout=_SECONDS).text
    except requests.RequestException:
        return {}
    pairs = (line.split(" ", 1) for line in text.splitlines() if "{" not in line and " " in line)
    return {
        name: float(value) for name, value in pairs if name in (_REVISION, _APPLIED, _CONNECTED)
    }
