"""Waits until a change of an endpoint serves, and tells what it is waiting for.

Before: `nouns.endpoints`, `declared`. After: `session`.
"""

import time
from collections.abc import Callable

from modelplane.deploy.command.api.client import Json, path_of
from modelplane.deploy.command.api.failures import CommandFailed, Status
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.tables import member

ENDPOINTS = "/api/2.0/serving-endpoints"
_POLL_SECONDS = 0.2
_SLOW_POLL_SECONDS = 1.0
# What takes longer is told about.
_PATIENCE_SECONDS = 1.0
_READY = "DEPLOYMENT_READY"


def endpoint_path(name: str, *parts: str) -> str:
    """Return the path of an endpoint, or of something below it."""
    return ENDPOINTS + path_of(name, *parts)


def await_rollout(
    session: Session,
    endpoint: Json,
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Json:
    """Return the endpoint once no update is under way.

    Args:
        session: The command.
        endpoint: The endpoint, as a change answered.
        seconds: How long to wait.
        clock: Seconds.
        sleep: Waits for seconds.

    Raises:
        CommandFailed: The update failed, or takes longer.
    """
    start = clock()
    told = ""
    while member(endpoint, "state", "config_update") == "IN_PROGRESS":
        passed = clock() - start
        if passed > seconds:
            raise CommandFailed(
                f"{endpoint['name']} is still being updated after {seconds:g} s: "
                f"{_stage(endpoint)}; look with `modelplane endpoints get {endpoint['name']}`",
                Status.NO_ANSWER,
            )
        if passed > _PATIENCE_SECONDS and (stage := _stage(endpoint)) != told:
            session.progress(f"{endpoint['name']}: {stage}")
            told = stage
        sleep(_POLL_SECONDS if passed < _PATIENCE_SECONDS else _SLOW_POLL_SECONDS)
        endpoint = session.client.call("GET", endpoint_path(endpoint["name"]))
    if told and session.is_watched:
        session.progress("")
    _check(endpoint)
    return endpoint


def _check(endpoint: Json) -> None:
    state = endpoint.get("state", {})
    if state.get("config_update") == "UPDATE_FAILED":
        reason = state.get("config_update_message") or "no reason was given"
        raise CommandFailed(f"the update of {endpoint['name']} failed: {reason}", Status.NEGATIVE)


def _stage(endpoint: Json) -> str:
    """Return what an update is waiting for, in words of the API."""
    pending = endpoint.get("pending_config") or endpoint.get("config") or {}
    told = []
    for entity in pending.get("served_entities", []):
        deployment = member(entity, "state", "deployment") or ""
        if deployment in ("", _READY):
            continue
        word = deployment.removeprefix("DEPLOYMENT_").lower()
        message = member(entity, "state", "deployment_state_message") or ""
        told.append(f"{entity['name']} is {word}" + (f" ({message})" if message else ""))
    return "; ".join(told) or "waiting for the workers"
