"""Waiting for a rollout: what is told, and how it ends."""

import io
from argparse import Namespace
from collections.abc import Iterator

import pytest

from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.failures import CommandFailed, Status
from modelplane.deploy.command.api.rollouts import await_rollout
from modelplane.deploy.command.api.session import Session


class Endpoints:
    """Answers with one state of an endpoint after the other."""

    def __init__(self, states: Iterator[Json]) -> None:
        self._states = states

    def call(self, _method: str, _path: str) -> Json:
        return next(self._states)


def state(update: str, deployment: str = "", message: str = "", why: str = "") -> Json:
    entity = {
        "name": "m",
        "state": {"deployment": deployment, "deployment_state_message": message},
    }
    return {
        "name": "e",
        "state": {"config_update": update, "config_update_message": why},
        "pending_config": {"served_entities": [entity]},
    }


def waited(first: Json, *states: Json, seconds: float = 60.0) -> tuple[Json, str]:
    err = io.StringIO()
    session = Session(Namespace(output="table"), {}, err=err)
    vars(session)["client"] = Endpoints(iter(states))
    now = [0.0]

    def sleep(length: float) -> None:
        now[0] += length

    found = await_rollout(session, first, seconds, clock=lambda: now[0], sleep=sleep)
    return found, err.getvalue()


GOING = "IN_PROGRESS"


def test_each_stage_that_takes_long_is_told_once() -> None:
    fetch = state(GOING, "DEPLOYMENT_CREATING", "fetched 10 of 20 MB")
    load = state(GOING, "DEPLOYMENT_CREATING", "loading")
    states = [fetch] * 8 + [load] * 3 + [state("NOT_UPDATING")]
    found, told = waited(fetch, *states)
    assert found["state"]["config_update"] == "NOT_UPDATING"
    assert told == "e: m is creating (fetched 10 of 20 MB)\ne: m is creating (loading)\n"


def test_what_is_quick_is_not_told() -> None:
    _, told = waited(state(GOING), state("NOT_UPDATING"))
    assert told == ""


def test_a_failed_update_tells_why() -> None:
    with pytest.raises(CommandFailed, match="the update of e failed: no room") as caught:
        waited(state(GOING), state("UPDATE_FAILED", why="no room"))
    assert caught.value.status == Status.NEGATIVE


def test_waiting_ends() -> None:
    with pytest.raises(CommandFailed, match="waiting for the workers") as caught:
        waited(state(GOING), *[state(GOING)] * 100, seconds=5)
    assert caught.value.status == Status.NO_ANSWER
