"""Changes of an endpoint: by mouse, with a secret made on the way, and one that fails."""

import json
import os
import signal

import pytest

from tests.e2e.rest import Rest
from tests.e2e.system import System, run_system
from tests.ui.scenes import create
from tests.ui.visitor import Visitor

pytestmark = pytest.mark.long

_NAME = "/api/2.0/serving-endpoints/chat"


def test_a_split_is_set_by_mouse_and_in_tens(visitor: Visitor, rest: Rest) -> None:
    create(rest, "chat", "gpt", "other", "third")
    page = visitor.page
    visitor.go("/endpoints/chat", "chat")
    visitor.press("Edit split")
    page.get_by_role("button", name="Lock third").click()
    slider = page.get_by_label("Share of other in percent")
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    dragged = int(slider.input_value())
    assert 40 <= dragged <= 60
    slider.press("PageDown")
    visitor.press("Apply split")
    visitor.press("Apply")
    page.get_by_text("version 2", exact=True).first.wait_for()
    routes = rest.call("GET", _NAME)["config"]["traffic_config"]["routes"]
    shares = [route["traffic_percentage"] for route in routes]
    assert shares == [100 - (dragged - 10) - 10, dragged - 10, 10]


def test_a_secret_is_made_on_the_way_to_an_endpoint(visitor: Visitor, rest: Rest) -> None:
    page = visitor.page
    visitor.go("/endpoints/new", "Create serving endpoint")
    page.get_by_label("Name", exact=True).fill("chat")
    page.get_by_label("Model", exact=True).fill("gpt-4o-mini")
    visitor.press("Create secret")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Scope", exact=True).fill("on-the-way")
    dialog.get_by_label("Key", exact=True).fill("key")
    dialog.get_by_label("Value").fill("sk-1")
    dialog.get_by_role("button", name="Store", exact=True).click()
    dialog.wait_for(state="detached")
    visitor.press("Create")
    page.get_by_role("heading", name="chat", exact=True).wait_for()
    made = rest.call("GET", _NAME)
    [entity] = (made.get("config") or made["pending_config"])["served_entities"]
    config = entity["external_model"]["openai_config"]
    assert config == {"openai_api_key": "{{secrets/on-the-way/key}}"}
    rest.call("DELETE", _NAME)
    rest.call("POST", "/api/2.0/secrets/scopes/delete", {"scope": "on-the-way"})


def test_an_update_that_fails_names_the_worker(
    browser: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = tmp_path_factory.mktemp("fails") / "data"
    settings = {"MODELPLANE_PREPARE_TIMEOUT_SECONDS": "1"}
    with run_system(data, "--no-hosting", settings=settings) as system, Rest(system) as rest:
        rest.call("POST", "/api/2.0/secrets/scopes/create", {"scope": "scope"})
        key = {"scope": "scope", "key": "key", "string_value": "sk-1"}
        rest.call("POST", "/api/2.0/secrets/put", key)
        create(rest, "chat", "gpt", "other")
        with Visitor(browser, system.url) as visitor:
            visitor.sign_in(system.token)
            visitor.go("/endpoints/chat", "chat")
            _fail(visitor, system)


def _fail(visitor: Visitor, system: System) -> None:
    """Let a worker be away while the split changes."""
    state = json.loads((system.data_dir / "up.json").read_text())
    process = state["workers"][0]["pid"]
    os.kill(process, signal.SIGSTOP)
    try:
        visitor.press("Edit split")
        visitor.page.get_by_label("Percent of other").fill("50")
        visitor.press("Apply split")
        visitor.press("Apply")
        told = visitor.page.get_by_role("alert", name="").filter(has_text="The last update failed.")
        told.wait_for()
        # A worker's name has its process.
        assert f"-{process}-" in told.inner_text()
        visitor.page.get_by_text("Ready (Update failed)").wait_for()
    finally:
        os.kill(process, signal.SIGCONT)
    _take_up(visitor)
    assert not visitor.complaints


def _take_up(visitor: Visitor) -> None:
    """Compare what has failed, begin again with it, and give it up."""
    page = visitor.page
    page.get_by_role("link", name="Compare", exact=True).click()
    page.get_by_role("heading", name="From version 1 to 2").wait_for()
    visitor.go("/endpoints/chat", "chat")
    page.get_by_role("link", name="Edit and retry").click()
    percent = page.get_by_label("Percent of other")
    percent.wait_for()
    assert percent.input_value() == "50"
    visitor.go("/endpoints/chat", "chat")
    visitor.press("Discard")
    page.get_by_text("version 3", exact=True).first.wait_for()
    page.get_by_role("alert").wait_for(state="detached")


def test_a_worker_that_refused_is_told_with_its_reason(visitor: Visitor, rest: Rest) -> None:
    create(rest, "chat", "gpt")
    path = f"{_NAME}/config-versions/1/rollout"
    told = rest.call("GET", path)
    workers = [
        told["workers"][0] | {"worker_id": f"w-{number}", "state": "PREPARED"}
        for number in range(1, 31)
    ]
    refusal = {"worker_id": "w-31", "state": "REFUSED", "message": "no such certificate"}
    failed = {
        "phase": "ENDED",
        "outcome": "FAILED",
        "outcome_message": "worker w-31: no such certificate",
        # In the order of the API: those first that were last.
        "workers": [told["workers"][0] | refusal, *workers],
    }
    page = visitor.page
    page.route(f"**{path}", lambda route: route.fulfill(json=told | failed))
    visitor.go("/endpoints/chat/rollout", "chat")
    page.get_by_role("alert").get_by_text("worker w-31: no such certificate").wait_for()
    first = page.get_by_role("region", name="Workers").get_by_role("row").nth(1)
    assert "w-31" in first.inner_text()
    assert "REFUSED" in first.inner_text()
    assert "no such certificate" in first.inner_text()
