"""What changes is seen at once; and what is found and done from everywhere, by keys alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.rest import Rest
from tests.e2e.system import System, wait_for
from tests.ui.scenes import create, looker
from tests.ui.visitor import Visitor

pytestmark = pytest.mark.long

_ENDPOINTS = "/api/2.0/serving-endpoints"
_CHANGES = "/api/2.0/changes"
_AXE = Path(__file__).parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
_VIOLATIONS = """async () => (await axe.run(document, {resultTypes: ['violations']}))
  .violations.map(found => `${found.id}: ${found.nodes[0].html}`)"""
_FOCUSED = "document.activeElement.textContent"
# What asks again and again does not, so that nothing is seen but what was told.
_NO_POLLING = "window.setInterval = () => 0"


@pytest.fixture
def watcher(browser: object, system: System, rest: Rest) -> Iterator[Visitor]:
    """Give the administrator, whose pages ask for nothing by themselves, once a call waits."""
    del rest
    with Visitor(browser, system.url) as one:
        one.page.add_init_script(_NO_POLLING)
        with one.page.expect_request(lambda request: "after_revision" in request.url):
            one.sign_in(system.token)
        yield one
        assert not one.complaints


def test_the_list_and_the_page_of_an_endpoint_follow(watcher: Visitor, rest: Rest) -> None:
    page = watcher.page
    page.get_by_text("There are no endpoints yet").wait_for()
    create(rest, "chat", "gpt", "other")
    link = page.get_by_role("link", name="chat", exact=True)
    link.wait_for()
    page.locator("td .state", has_text="Ready").wait_for()
    link.click()
    page.get_by_role("heading", name="chat", exact=True).wait_for()
    page.get_by_text("version 1", exact=True).first.wait_for()
    split = [{"served_model_name": name, "traffic_percentage": 50} for name in ("gpt", "other")]
    rest.call("PUT", f"{_ENDPOINTS}/chat/config", {"traffic_config": {"routes": split}})
    page.get_by_text("version 2", exact=True).first.wait_for()
    rest.call("PATCH", f"{_ENDPOINTS}/chat/tags", {"add_tags": [{"key": "team"}]})
    page.get_by_text("team", exact=True).wait_for()
    rest.call("DELETE", f"{_ENDPOINTS}/chat")
    page.get_by_text("There is no endpoint of this name").wait_for()


def test_of_all_tabs_one_asks(watcher: Visitor, system: System, rest: Rest) -> None:
    asked: list[str] = []
    second = watcher.page.context.new_page()
    second.on("request", lambda request: asked.append(request.url))
    second.add_init_script(_NO_POLLING)
    second.goto(f"{system.url}/ui/")
    second.get_by_text("There are no endpoints yet").wait_for()
    create(rest, "chat", "gpt")
    for page in (watcher.page, second):
        page.get_by_role("link", name="chat", exact=True).wait_for()
    assert not [url for url in asked if _CHANGES in url]
    # When that tab is closed, the other one goes on.
    with second.expect_request(lambda request: "after_revision" in request.url):
        watcher.page.close()
    create(rest, "next", "gpt")
    second.get_by_role("link", name="next", exact=True).wait_for()


def test_without_being_told_the_pages_ask(browser: object, system: System, rest: Rest) -> None:
    with Visitor(browser, system.url) as visitor:
        visitor.page.route(f"**{_CHANGES}*", lambda route: route.fulfill(status=503, body="{}"))
        visitor.sign_in(system.token)
        visitor.page.get_by_text("There are no endpoints yet").wait_for()
        create(rest, "chat", "gpt")
        visitor.page.get_by_role("link", name="chat", exact=True).wait_for()
        assert not visitor.complaints


def _is_clean(page: Any) -> None:
    if not page.evaluate("'axe' in window"):
        page.evaluate(_AXE.read_text())
    assert page.evaluate(_VIOLATIONS) == []


def test_the_palette_leads_everywhere_by_keys(visitor: Visitor, rest: Rest) -> None:
    create(rest, "chat", "gpt")
    page, keys = visitor.page, visitor.page.keyboard
    field = page.get_by_role("combobox", name="Page, endpoint or action")
    keys.press("Control+k")
    field.wait_for()
    keys.type("audit")
    _is_clean(page)
    keys.press("Enter")
    page.get_by_role("heading", name="Audit log").wait_for()
    # From the content the next Tab leads on.
    assert page.evaluate("document.activeElement.id") == "content"
    keys.press("Meta+k")
    keys.type("cha")
    page.locator("[role=option]", has_text="Endpoint").last.wait_for()
    keys.press("ArrowUp")
    assert "chat" in page.locator("[role=option][aria-selected=true]").inner_text()
    keys.press("ArrowDown")
    keys.press("Enter")
    page.get_by_role("heading", name="chat", exact=True).wait_for()
    keys.press("Control+k")
    keys.type("chat: vers")
    keys.press("Enter")
    page.get_by_role("cell", name="ACTIVE").wait_for()


def test_the_palette_says_what_there_is_not_and_which_keys_there_are(visitor: Visitor) -> None:
    page, keys = visitor.page, visitor.page.keyboard
    field = page.get_by_role("combobox", name="Page, endpoint or action")
    keys.press("Control+k")
    keys.type("nothing is called so")
    page.get_by_text("Nothing has this in its name.").wait_for()
    _is_clean(page)
    keys.press("Escape")
    field.wait_for(state="detached")
    keys.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    # Over what is open nothing else opens.
    keys.press("Control+k")
    assert field.count() == 0
    _is_clean(page)


def test_the_menu_of_a_row_by_keys(visitor: Visitor, rest: Rest) -> None:
    create(rest, "chat", "gpt")
    page, keys = visitor.page, visitor.page.keyboard
    visitor.press("Refresh")
    page.get_by_role("link", name="chat", exact=True).focus()
    visitor.tab_to("Actions of chat")
    keys.press("Enter")
    page.get_by_role("menu").wait_for()
    _is_clean(page)
    assert page.evaluate(_FOCUSED) == "Query"
    for key, name in (("ArrowUp", "Delete"), ("ArrowDown", "Query"), ("e", "Edit configuration")):
        keys.press(key)
        assert page.evaluate(_FOCUSED) == name
    keys.press("Escape")
    page.get_by_role("menu").wait_for(state="detached")
    assert page.evaluate("document.activeElement.ariaLabel") == "Actions of chat"
    keys.press("ArrowDown")
    keys.press("c")
    keys.press("Enter")
    page.get_by_role("dialog", name="Copy this request").wait_for()


def test_who_would_miss_an_endpoint_is_told(visitor: Visitor, rest: Rest) -> None:
    create(rest, "chat", "gpt")
    tracked = {"usage_tracking_config": {"enabled": True}}
    rest.call("PUT", f"{_ENDPOINTS}/chat/ai-gateway", tracked)
    asked = {"messages": [{"role": "user", "content": "Hello"}]}
    assert rest.send("POST", "/serving-endpoints/chat/invocations", asked).status_code == 200
    usage = f"{_ENDPOINTS}/chat/usage?group_by=requester"
    wait_for(lambda: rest.call("GET", usage)["totals"][:1])
    page = visitor.page
    visitor.press("Refresh")
    page.get_by_role("button", name="Actions of chat").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_text("It was asked in the last 24 hours by").wait_for()
    assert "admin 1 calls" in page.locator(".callers").inner_text()
    _is_clean(page)
    page.get_by_label("Type chat to confirm").fill("chat")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("There are no endpoints yet").wait_for()


def test_who_may_only_look_sees_why_a_menu_does_nothing(
    browser: object, system: System, rest: Rest
) -> None:
    made = create(rest, "chat", "gpt")
    with looker(rest, made) as token, Visitor(browser, system.url) as visitor:
        visitor.sign_in(token)
        page = visitor.page
        page.get_by_role("button", name="Actions of chat").click()
        for name in ("Edit configuration", "Permissions", "Delete", "Query"):
            item = page.get_by_role("menuitem", name=name)
            assert item.get_attribute("aria-disabled") == "true"
            assert item.get_attribute("title").startswith("This takes CAN_")
        page.keyboard.press("Enter")
        assert page.get_by_role("menu").count() == 1
        assert page.get_by_role("dialog").count() == 0
        assert not visitor.complaints


def test_the_list_has_an_order_and_counts(visitor: Visitor, rest: Rest) -> None:
    for name in ("a", "b", "c"):
        create(rest, name, "gpt")
    asked = {"messages": [{"role": "user", "content": "Hello"}]}
    rest.send("POST", "/serving-endpoints/b/invocations", asked)
    recent = f"{_ENDPOINTS}?max_results=5&search=b&include_recent=true"
    wait_for(lambda: rest.call("GET", recent)["endpoints"][0]["recent"]["requests"] != "0")
    page = visitor.page
    names = page.locator("tbody td:first-child a")

    def order(heading: str, going: str, *expected: str) -> None:
        page.get_by_role("button", name=heading, exact=True).click()
        page.locator(f"th[aria-sort={going}]", has_text=heading).wait_for()
        page.wait_for_function(
            "names => [...document.querySelectorAll('tbody td:first-child a')]"
            ".map(link => link.textContent).join() === names.join()",
            arg=list(expected),
        )
        assert names.all_inner_texts() == list(expected)

    visitor.press("Refresh")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="b", exact=True))
    row.get_by_text("1", exact=True).wait_for()
    order("Name", "ascending", "a", "b", "c")
    order("Name", "descending", "c", "b", "a")
    order("Updated", "descending", "c", "b", "a")
    order("Updated", "ascending", "a", "b", "c")
    _is_clean(page)


def test_the_version_before_is_a_click_away(visitor: Visitor, rest: Rest) -> None:
    create(rest, "chat", "gpt", "other")
    split = [{"served_model_name": name, "traffic_percentage": 50} for name in ("gpt", "other")]
    rest.call("PUT", f"{_ENDPOINTS}/chat/config", {"traffic_config": {"routes": split}})
    page = visitor.page
    visitor.go("/endpoints/chat", "chat")
    visitor.press("Back to v1")
    page.get_by_role("dialog").locator("ins").first.wait_for()
    visitor.press("Roll back to 1")
    page.get_by_text("Version 3 serves since").wait_for()
    routes = rest.call("GET", f"{_ENDPOINTS}/chat")["config"]["traffic_config"]["routes"]
    assert [route["traffic_percentage"] for route in routes] == [90, 10]
    visitor.go("/endpoints/chat/versions", "chat")
    visitor.press("Back to v1")
    page.get_by_role("dialog", name="From version 3 to 1").wait_for()


def test_whom_to_grant_is_found_by_a_part_of_the_name(visitor: Visitor, rest: Rest) -> None:
    create(rest, "chat", "gpt")
    user = {"userName": "ann@example.com", "displayName": "Ann"}
    rest.call("POST", "/api/2.0/preview/scim/v2/Users", user)
    page = visitor.page
    visitor.go("/endpoints/chat/permissions", "chat")
    name = page.get_by_label("Name", exact=True)
    name.fill("ANN@")
    page.locator("datalist option[value='ann@example.com']").wait_for(state="attached")
    name.fill("ann@example.com")
    assert page.get_by_label("Kind").input_value() == "user_name"
    visitor.press("Grant")
    page.get_by_role("cell", name="Ann (ann@example.com)", exact=True).wait_for()
    assert name.input_value() == ""
    _is_clean(page)
