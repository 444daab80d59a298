"""Addresses say what a page is narrowed to, and pages are loaded when they are first shown."""

from typing import Any

import pytest

from tests.e2e.rest import Rest
from tests.e2e.system import System
from tests.ui.scenes import create
from tests.ui.visitor import Visitor

pytestmark = pytest.mark.long

_HASH = "decodeURIComponent(location.hash)"
_CHAT = "/api/2.0/serving-endpoints/chat"


def _reach(visitor: Visitor, address: str) -> None:
    """Wait until the address is this one; what is typed is written there a little later."""
    visitor.page.wait_for_function(
        f"address => {_HASH}.replaceAll('+', ' ') === address", arg=address
    )


def test_a_link_to_a_list_shows_the_same_and_back_leads_through_it(
    browser: object, visitor: Visitor, system: System, rest: Rest
) -> None:
    create(rest, "chat", "gpt")
    rest.call("POST", "/api/2.0/serving-endpoints", {"name": "other"})
    page = visitor.page
    visitor.press("Refresh")
    other = page.get_by_role("link", name="other", exact=True)
    other.wait_for()
    page.get_by_label("State").select_option("Ready")
    other.wait_for(state="detached")
    page.get_by_role("button", name="Name", exact=True).click()
    before = page.evaluate("history.length")
    page.get_by_role("searchbox", name="Search").type("chat")
    _reach(visitor, "#/endpoints?state=Ready&order=name&search=chat")
    assert page.evaluate("history.length") == before
    with Visitor(browser, system.url) as colleague:
        colleague.page.goto(page.url)
        colleague.page.get_by_label("Access token").fill(system.token)
        colleague.press("Sign in")
        colleague.page.get_by_text("1 of 1", exact=True).wait_for()
        assert colleague.page.get_by_label("State").input_value() == "Ready"
        assert colleague.page.get_by_role("searchbox", name="Search").input_value() == "chat"
        assert not colleague.complaints
    page.go_back()
    _reach(visitor, "#/endpoints?state=Ready")
    page.go_back()
    other.wait_for()
    page.go_forward()
    other.wait_for(state="detached")


def test_what_an_address_cannot_mean_is_as_if_it_were_not_there(
    visitor: Visitor, rest: Rest
) -> None:
    create(rest, "chat", "gpt")
    for path, heading in (
        ("/endpoints?state=Odd&task=&order=up&mine=2&search=%&tag=%zz", "Serving endpoints"),
        ("/endpoints/%zz", "%zz"),
        ("/endpoints/chat?range=9y", "chat"),
        ("/endpoints/chat/rollout/none", "chat"),
        ("/endpoints/chat/versions?a=-1&b=x", "chat"),
        ("/endpoints/chat/usage?group=endpoint&range=", "chat"),
        ("/usage?group=__proto__&range=constructor&status_code=9&fallback_only=no", "Usage"),
        ("/audit?outcome=MAYBE&action=%", "Audit log"),
        ("/identity/users?start=0", "Identity"),
    ):
        visitor.go(path, heading)


def test_links_to_versions_times_and_usage(visitor: Visitor, rest: Rest) -> None:
    create(rest, "chat", "gpt", "other")
    half = [{"served_model_name": n, "traffic_percentage": 50} for n in ("gpt", "other")]
    rest.call("PUT", f"{_CHAT}/config", {"traffic_config": {"routes": half}})
    page = visitor.page
    visitor.go("/endpoints/chat/versions?a=1&b=2", "chat")
    page.get_by_role("heading", name="From version 1 to 2").wait_for()
    page.get_by_role("dialog").get_by_role("button", name="Close", exact=True).last.click()
    _reach(visitor, "#/endpoints/chat/versions")
    for version in (2, 1):
        page.get_by_label(f"Choose version {version} to compare").check()
    page.get_by_role("heading", name="From version 2 to 1").wait_for()
    _reach(visitor, "#/endpoints/chat/versions?a=2&b=1")
    visitor.go("/endpoints/chat?range=6h", "chat")
    assert page.get_by_role("button", name="6 hours").get_attribute("aria-pressed") == "true"
    visitor.go("/usage?range=week&group=model&status_code=503&requester=ann", "Usage")
    assert page.get_by_label("Time").input_value() == "week"
    assert page.get_by_label("Group by").input_value() == "model"
    assert page.get_by_label("Status").input_value() == "503"
    page.get_by_text("No request of this time passes these filters.").wait_for()
    visitor.press("Clear filters")
    _reach(visitor, "#/usage?range=week&group=model")
    visitor.go("/audit?principal=nobody&outcome=OK", "Audit log")
    page.get_by_text("No event passes these filters.").wait_for()


def test_users_are_found_by_a_part_of_the_name(visitor: Visitor, rest: Rest) -> None:
    for name in ("part-ann@example.com", "part-bob@example.com"):
        rest.call("POST", "/api/2.0/preview/scim/v2/Users", {"userName": name})
    page = visitor.page
    visitor.go("/identity/users", "Identity")
    page.get_by_role("searchbox", name="Search").fill("T-ANN")
    page.get_by_text("1 in all").wait_for()
    _reach(visitor, "#/identity/users?search=T-ANN")
    page.get_by_role("searchbox", name="Search").fill("nobody at all")
    page.get_by_text("No user matches.").wait_for()
    visitor.go("/identity/groups?search=DMIN", "Identity")
    page.get_by_text("1 in all").wait_for()
    # Of some these are all users.
    lists = [call.path for call in visitor.calls() if "/Groups?" in call.path]
    assert lists
    assert all("excludedAttributes=members" in path for path in lists)


def test_what_is_not_sent_yet_is_asked_for_before_it_is_lost(visitor: Visitor) -> None:
    page, asked = visitor.page, list[str]()
    stays = True

    def answer(dialog: Any) -> None:
        asked.append(dialog.message)
        if stays:
            dialog.dismiss()
        else:
            dialog.accept()

    page.on("dialog", answer)
    visitor.go("/endpoints/new", "Create serving endpoint")
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("heading", name="Serving endpoints").wait_for()
    visitor.go("/endpoints/new", "Create serving endpoint")
    page.get_by_label("Name", exact=True).fill("typed")
    page.get_by_role("link", name="Cancel").click()
    page.go_back()
    assert page.get_by_label("Name", exact=True).input_value() == "typed"
    assert page.evaluate("location.hash") == "#/endpoints/new"
    assert len(asked) == 2
    stays = False
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("heading", name="Serving endpoints").wait_for()


def test_where_nothing_is_left_each_filter_says_what_it_hides(visitor: Visitor, rest: Rest) -> None:
    create(rest, "chat", "gpt")
    rest.call("POST", "/api/2.0/serving-endpoints", {"name": "other", "tags": [{"key": "team"}]})
    page = visitor.page
    visitor.go("/endpoints?state=Ready&tag=team", "Serving endpoints")
    hides = page.get_by_role("list", name="What each filter hides").get_by_role("listitem")
    for place, name in enumerate(("State", "Tag")):
        hides.nth(place).get_by_text("hides 1", exact=True).wait_for()
        assert hides.nth(place).get_by_role("button").inner_text().startswith(name)
    page.get_by_role("button", name="Clear State").click()
    page.get_by_role("link", name="other", exact=True).wait_for()
    page.get_by_text("no configuration yet").wait_for()


def test_a_page_that_is_gone_after_an_upgrade_loads_all_anew_once(visitor: Visitor) -> None:
    page = visitor.page
    gone = "**/assets/Workers-*.js"
    page.route(gone, lambda route: route.fulfill(status=404, body=""))
    page.evaluate("window.before = true")
    with page.expect_event("domcontentloaded"):
        page.evaluate("location.hash = '/workers'")
    page.get_by_role("alert").filter(has_text="Load the page anew").wait_for()
    assert page.evaluate("window.before === undefined")
    page.unroute(gone)
    page.reload()
    page.get_by_role("heading", name="Workers", level=1).wait_for()


def test_a_page_is_loaded_when_it_is_first_shown(visitor: Visitor) -> None:
    def loaded() -> int:
        return sum(".js" in request.url for request in visitor.requests)

    before = loaded()
    visitor.go("/secrets", "Secrets")
    once = loaded()
    assert once > before
    visitor.go("/endpoints", "Serving endpoints")
    visitor.go("/secrets", "Secrets")
    assert loaded() == once
