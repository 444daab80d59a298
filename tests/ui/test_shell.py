"""What stands around the pages, and what is said before a change and after, in a real browser."""

import json
from typing import Any

import pytest

from tests.e2e.rest import Rest
from tests.e2e.system import System
from tests.ui.scenes import create
from tests.ui.test_pages import _AXE, _UI
from tests.ui.visitor import Visitor

pytestmark = pytest.mark.long

_ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}
_MANY = 150


def _axe(visitor: Visitor) -> list[str]:
    visitor.page.evaluate((_UI / "node_modules" / "axe-core" / "axe.min.js").read_text())
    found: list[str] = visitor.page.evaluate(_AXE)
    return found


def test_the_bar_says_how_far_the_workers_are(visitor: Visitor, rest: Rest) -> None:
    page = visitor.page
    page.get_by_role("link", name="2/2 workers, rev").wait_for()
    # One that does not follow, as the deployment would tell of it.
    fleet = rest.call("GET", "/api/2.0/workers")
    late = {**fleet["workers"][0], "up_to_date": False, "applied_revision": "0"}
    told = json.dumps({**fleet, "workers": [late, *fleet["workers"][1:]]})
    page.route("**/api/2.0/workers", lambda route: route.fulfill(body=told))
    visitor.go("/workers", "Workers")
    badge = page.get_by_role("link", name="1/2 workers, rev")
    badge.wait_for()
    assert "warning" in badge.get_attribute("class")
    assert late["worker_id"] in badge.get_attribute("title")
    page.unroute("**/api/2.0/workers")
    page.get_by_role("link", name="2/2 workers, rev").click()
    page.get_by_role("heading", name="Workers", level=1).wait_for()


def test_a_folded_navigation_stays_folded(visitor: Visitor) -> None:
    page = visitor.page
    places = page.get_by_role("navigation", name="Main")
    menu = page.get_by_role("button", name="Menu")
    assert places.is_visible()
    menu.click()
    places.wait_for(state="hidden")
    page.reload()
    page.get_by_role("heading", name="Serving endpoints").wait_for()
    assert (places.is_visible(), menu.get_attribute("aria-expanded")) == (False, "false")
    assert not _axe(visitor)
    menu.click()
    places.wait_for()
    assert page.evaluate("JSON.stringify(localStorage)") == "{}"


def test_a_new_endpoint_is_checked_and_gets_its_limits(visitor: Visitor, rest: Rest) -> None:
    page = visitor.page
    visitor.go("/endpoints/new", "Create serving endpoint")
    model = page.get_by_label("Model", exact=True)
    offered = page.locator(f'datalist[id="{model.get_attribute("list")}"] option')
    names = [option.get_attribute("value") for option in offered.all()]
    assert "gpt-4o-mini" in names
    page.get_by_label("Task", exact=True).select_option("llm/v1/embeddings")
    page.locator('option[value="text-embedding-3-small"]').wait_for(state="attached")
    page.get_by_label("Task", exact=True).select_option("llm/v1/chat")
    page.get_by_label("Name", exact=True).fill("checked")
    model.fill("a-model-of-my-own")
    visitor.press("Check")
    page.get_by_role("alert").get_by_text("openai_api_key").wait_for()
    page.get_by_label("OpenAI API key").fill("scope/key")
    visitor.press("Add limit")
    page.get_by_label("Requests", exact=True).fill("7")
    visitor.press("Check")
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("served_entities[a-model-of-my-own].external_model.name").wait_for()
    assert page.get_by_role("alert").count() == 0
    assert not _axe(visitor)
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    # Nothing was made by it.
    assert rest.send("GET", "/api/2.0/serving-endpoints/checked", None).status_code == 404
    visitor.press("Create")
    page.get_by_role("heading", name="checked", exact=True).wait_for()
    made = rest.call("GET", "/api/2.0/serving-endpoints/checked/ai-gateway")
    limit = {"key": "user", "calls": 7, "renewal_period": "minute"}
    assert made["rate_limits"] == [limit]
    assert made["usage_tracking_config"] == {"enabled": True}


def test_an_entity_leads_to_its_requests(visitor: Visitor, rest: Rest) -> None:
    create(rest, "chat", "gpt", "other")
    gateway = "/api/2.0/serving-endpoints/chat/ai-gateway"
    rest.call("PUT", gateway, {"usage_tracking_config": {"enabled": True}})
    path = "/serving-endpoints/chat/served-models/gpt/invocations"
    assert rest.send("POST", path, _ASK).status_code == 200
    page = visitor.page
    visitor.go("/endpoints/chat", "chat")
    table = page.get_by_role("region", name="Served entities")
    for title in ("p95, 15 min", "Tokens/s, 15 min"):
        table.get_by_role("columnheader", name=title).wait_for()
    # A bound of the time that the call took.
    table.get_by_role("row").filter(has_text="gpt").get_by_text("≤").wait_for()
    page.get_by_role("link", name="Requests of gpt").click()
    page.get_by_role("button", name="gpt", exact=True).first.wait_for()
    assert page.evaluate("location.hash") == "#/endpoints/chat/usage?served_entity=gpt"


def test_of_very_many_workers_the_slowest_are_shown(visitor: Visitor, rest: Rest) -> None:
    create(rest, "chat", "gpt")
    path = "/api/2.0/serving-endpoints/chat/config-versions/1/rollout"
    rollout = rest.call("GET", path)
    start, ready = rollout["start_time"], rollout["prepared_time"]
    one = rollout["workers"][0]
    times = [{"prepared_time": start + at % 7, "active_time": ready + at} for at in range(_MANY)]
    many = [one | {"worker_id": f"w-{at:03d}"} | times[at] for at in range(_MANY)]
    many[3] |= {"state": "DROPPED", "message": "It did not answer."}
    told = json.dumps({**rollout, "end_time": ready + _MANY, "workers": many})
    visitor.page.route(f"**{path}", lambda route: route.fulfill(body=told))
    visitor.go("/endpoints/chat/rollout", "chat")
    page = visitor.page
    page.get_by_role("heading", name=f"The slowest 20 of {_MANY}").wait_for()
    for phase in ("prepare", "activate"):
        page.get_by_role("img", name=f"Workers by time to {phase}").wait_for()
    rows = page.get_by_role("region", name="Workers", exact=True).locator("tbody tr")
    first = [row.locator("strong").inner_text() for row in rows.all()]
    assert (len(first), first[:3]) == (20, ["w-003", f"w-{_MANY - 1}", f"w-{_MANY - 2}"])
    assert not _axe(visitor)
    visitor.press(f"Show all {_MANY}")
    rows.nth(_MANY - 1).wait_for()


def test_who_may_not_sign_in_is_told_what_helps(browser: object, system: System) -> None:
    with Visitor(browser, system.url) as visitor:
        visitor.open()
        page = visitor.page
        page.get_by_label("Access token").fill("dapi-wrong")
        visitor.press("Sign in")
        page.get_by_role("alert").get_by_text("on their page Account").wait_for()
        assert not _axe(visitor)
        # As Envoy says where no control plane is behind it.
        away = json.dumps({"message": "The service is not available at the moment; try again."})
        page.route("**/ui/sessions", lambda route: route.fulfill(status=503, body=away))
        visitor.press("Sign in")
        page.get_by_role("alert").get_by_text("The control plane does not answer.").wait_for()
    with Visitor(browser, system.url) as visitor:
        # What a browser says of a plaintext port elsewhere than on this machine.
        hide = "Object.defineProperty(window, 'isSecureContext', {value: false})"
        visitor.page.add_init_script(hide)
        visitor.open()
        visitor.page.get_by_role("alert").get_by_text("Use HTTPS.").wait_for()
        assert visitor.page.get_by_role("button", name="Sign in").is_disabled()
