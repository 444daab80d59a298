"""Usage as its pages tell it: grouped, narrowed, with percentiles, and with costs."""

from collections.abc import Iterator

import pytest

from tests.e2e.rest import Rest
from tests.e2e.system import wait_for
from tests.ui.scenes import create
from tests.ui.visitor import Visitor

pytestmark = pytest.mark.long

PRICES = "/api/2.0/prices"


@pytest.fixture
def used(rest: Rest) -> Iterator[None]:
    """Leave usage of two endpoints, and no price afterwards."""
    for name in ("first", "second"):
        create(rest, name, "gpt")
        gateway = {"usage_tracking_config": {"enabled": True}}
        rest.call("PUT", f"/api/2.0/serving-endpoints/{name}/ai-gateway", gateway)
    body = {"messages": [{"role": "user", "content": "Hello"}]}
    red = body | {"usage_context": {"team": "red"}}
    for name, query in (("first", body), ("first", body), ("second", red)):
        assert rest.query(name, query).status_code == 200
    wait_for(lambda: _ended(rest) == [2, 1])
    yield
    rest.call("PUT", PRICES, {"prices": []})


def _ended(rest: Rest) -> list[int]:
    """Return how many queries of each endpoint, as it is now, have ended."""
    found = []
    for name in ("first", "second"):
        path = f"/api/2.0/serving-endpoints/{name}/usage?state=ENDED"
        found.append(len(rest.call("GET", path)["usage"]))
    return found


def test_usage_costs_what_prices_say(visitor: Visitor, rest: Rest, used: None) -> None:
    del used
    page = visitor.page
    visitor.go("/usage", "Usage")
    totals = page.get_by_role("region", name="Totals")
    totals.get_by_role("button", name="first").wait_for()
    assert totals.get_by_role("columnheader", name="p95").count() == 1
    assert totals.get_by_role("columnheader", name="Cost").count() == 0
    page.get_by_role("link", name="Prices").click()
    page.get_by_role("button", name="Set a price of gpt-4o-mini").click()
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_label("Provider").input_value() == "openai"
    dialog.get_by_label("Input", exact=True).fill("one")
    dialog.get_by_label("Output").fill("1000000")
    visitor.press("Save")
    dialog.get_by_role("alert").filter(has_text="must be a number").wait_for()
    dialog.get_by_label("Input", exact=True).fill("0")
    visitor.press("Save")
    page.get_by_role("region", name="Prices", exact=True).get_by_text("gpt-4o-mini").wait_for()
    [price] = rest.call("GET", PRICES)["prices"]
    assert (price["model"], price["output_per_million"]) == ("gpt-4o-mini", "1000000")
    visitor.go("/usage", "Usage")
    # A token of output costs a dollar.
    [told] = rest.call("GET", "/api/2.0/usage?group_by=endpoint&endpoint=second")["totals"]
    row = totals.get_by_role("row", name="second")
    row.get_by_text(f"{told['output_token_count']:,}.00 USD").wait_for()
    visitor.go("/playground/second", "Playground")
    visitor.press("Send")
    facts = page.locator(".answer-facts")
    facts.get_by_text(".00 USD").wait_for()
    # As much as the ledger says of the same tokens.
    tokens = facts.get_by_text("tokens in").inner_text().split(", ")[1].removesuffix(" out")
    facts.get_by_text(f"cost {tokens}.00 USD").wait_for()


def test_usage_is_grouped_and_narrowed(visitor: Visitor, used: None) -> None:
    del used
    page = visitor.page
    visitor.go("/usage", "Usage")
    totals = page.get_by_role("region", name="Totals")
    page.get_by_label("Group by").select_option("model")
    totals.get_by_role("button", name="gpt-4o-mini").click()
    page.get_by_role("button", name="Take away Model gpt-4o-mini").wait_for()
    page.get_by_label("Group by").select_option("endpoint")
    totals.get_by_role("button", name="second").wait_for()
    page.get_by_label("Fallbacks only").check()
    page.get_by_text("No request of this time passes these filters.").wait_for()
    visitor.press("Clear filters")
    totals.get_by_role("button", name="first").wait_for()
    page.get_by_label("Time").select_option(label="Last hour")
    page.get_by_label("Group by").select_option("minute")
    page.get_by_role("region", name="Requests by minute", exact=True).wait_for()
    page.get_by_text("As a table").click()
    table = page.get_by_role("region", name="Requests by minute as a table")
    assert table.get_by_role("row").count() == 61
    page.get_by_label("Time").select_option(label="Last 7 days")
    assert page.get_by_label("Group by").input_value() == "hour"


def test_usage_is_told_by_a_tag_and_by_whom_within_it(visitor: Visitor, used: None) -> None:
    del used
    page = visitor.page
    visitor.go("/usage", "Usage")
    page.get_by_label("Group by", exact=True).select_option("tag:")
    page.get_by_text("Type the key of a tag").wait_for()
    page.get_by_label("Group by: key of the tag").fill("team")
    totals = page.get_by_role("region", name="Totals")
    totals.get_by_role("button", name="red").wait_for()
    page.get_by_label("Then by", exact=True).select_option("endpoint")
    totals.get_by_role("row").filter(has_text="red").filter(has_text="second").wait_for()
    totals.get_by_role("row").filter(has_text="none").filter(has_text="first").wait_for()
    # Those without the tag have more requests.
    assert page.locator(".legend li").all_inner_texts() == ["none", "red"]
    page.locator(".bars .series-0").first.wait_for()
    page.get_by_text("As a table").click()
    page.get_by_role("columnheader", name="red", exact=True).wait_for()
    totals.get_by_role("button", name="red").click()
    totals.get_by_text("first").wait_for(state="detached")
    assert page.get_by_label("Tag", exact=True).input_value() == "team=red"
    page.get_by_label("Status").select_option("UNKNOWN")
    page.get_by_text("No request of this time passes these filters.").wait_for()
    page.get_by_label("Status").select_option("2xx")
    # A link shows the same.
    page.reload()
    totals.get_by_role("button", name="second").wait_for()


def test_a_click_on_a_time_shows_what_it_consists_of(visitor: Visitor, used: None) -> None:
    del used
    page = visitor.page
    visitor.go("/usage", "Usage")
    totals = page.get_by_role("region", name="Totals")
    page.get_by_label("Group by", exact=True).select_option("hour")
    # The hour that was chosen is in the first column.
    totals.get_by_role("columnheader", name="Hour").wait_for()
    totals.get_by_role("button").last.click()
    page.get_by_role("button", name="Take away Time").wait_for()
    page.get_by_role("region", name="Requests by minute", exact=True).wait_for()
    assert page.get_by_label("Group by", exact=True).input_value() == "minute"
    totals.get_by_role("row").nth(1).wait_for()
    page.go_back()
    page.get_by_role("region", name="Requests by hour", exact=True).wait_for()


def test_a_price_is_edited_and_deleted(visitor: Visitor, rest: Rest, used: None) -> None:
    del used
    page = visitor.page
    price = {"provider": "openai", "model": "gpt-4o", "currency": "EUR"}
    numbers = {"input_per_million": "2.5", "output_per_million": "10"}
    rest.call("PUT", PRICES, {"prices": [price | numbers, price | numbers | {"model": "other"}]})
    visitor.go("/usage/prices", "Prices")
    page.get_by_role("button", name="Edit the price of gpt-4o since ever").click()
    page.get_by_label("Cached input").fill("1.25")
    page.get_by_label("From").fill("2026-01-01T05:00")
    visitor.press("Save")
    table = page.get_by_role("region", name="Prices", exact=True)
    table.get_by_text("1.25").wait_for()
    edited, other = rest.call("GET", PRICES)["prices"]
    assert (edited["cached_input_per_million"], other["model"]) == ("1.25", "other")
    assert edited["from_time"] % 3_600_000 == 0
    table.get_by_role("button", name="Delete the price of other since ever").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    table.get_by_text("other").wait_for(state="detached")
    assert rest.call("GET", PRICES)["prices"] == [edited]
