"""An update that a worker holds up: what callers see of it, and how they end it."""

import json
import os
import signal
from collections.abc import Iterator

import pytest

from tests.e2e.rest import ENDPOINTS, Json, Rest, endpoint, entity
from tests.e2e.system import System, wait_for
from tests.emulators.openai import OpenAiEmulator


@pytest.fixture
def held(system: System, rest: Rest, provider: OpenAiEmulator) -> Iterator[Json]:
    """An endpoint whose update to version 2 cannot go on, as the update's answer shows it."""
    rest.create(endpoint("held", entity(provider, "one")))
    state = json.loads((system.data_dir / "up.json").read_text())
    pid = state["workers"][0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield rest.call("PUT", f"{ENDPOINTS}/held/config", new_config(provider))
    finally:
        os.kill(pid, signal.SIGCONT)
        # The worker takes part again before the next test begins.
        wait_for(
            lambda: rest.call("GET", f"{ENDPOINTS}/held")["state"]["config_update"] != "IN_PROGRESS"
        )
        wait_for(lambda: takes_part(rest, provider))


def new_config(provider: OpenAiEmulator) -> Json:
    config: Json = endpoint("held", entity(provider, "two"))["config"]
    return config


def takes_part(rest: Rest, provider: OpenAiEmulator) -> bool:
    updated = rest.call("PUT", f"{ENDPOINTS}/held/config", new_config(provider))
    return bool(updated["state"]["config_update"] == "NOT_UPDATING")


def test_a_held_update_is_visible_exclusive_and_can_be_cancelled(
    held: Json, rest: Rest, provider: OpenAiEmulator
) -> None:
    assert held["state"]["config_update"] == "IN_PROGRESS"
    assert held["state"]["ready"] == "READY"
    assert held["config"]["config_version"] == 1
    assert held["pending_config"]["config_version"] == 2
    assert held["pending_config"]["start_time"] > 0
    refused = rest.send("PUT", f"{ENDPOINTS}/held/config", new_config(provider))
    assert (refused.status_code, refused.json()["error_code"]) == (409, "RESOURCE_CONFLICT")
    cancelled = rest.call("POST", f"{ENDPOINTS}/held/config:cancel", {})
    assert cancelled["state"]["config_update"] == "UPDATE_CANCELED"
    assert cancelled["config"]["config_version"] == 1
    assert "pending_config" not in cancelled
    outcome = rest.call("GET", f"{ENDPOINTS}/held/config-versions/2")["outcome"]
    assert outcome == "CANCELED"
