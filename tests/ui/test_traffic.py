"""The charts of an endpoint and the use of its limits, with a real browser."""

from typing import Any

import pytest

from tests.e2e.rest import Rest
from tests.e2e.system import System
from tests.ui.scenes import create
from tests.ui.test_pages import _AXE, _UI
from tests.ui.visitor import Visitor

pytestmark = pytest.mark.long

_ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}


def _ask(rest: Rest, **more: object) -> int:
    return rest.send("POST", "/serving-endpoints/chat/invocations", {**_ASK, **more}).status_code


def _axe(visitor: Visitor) -> list[str]:
    visitor.page.evaluate((_UI / "node_modules" / "axe-core" / "axe.min.js").read_text())
    found: list[str] = visitor.page.evaluate(_AXE)
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_traffic_of_an_endpoint_is_drawn_with_its_versions(
    browser: object, system: System, rest: Rest, theme: str
) -> None:
    create(rest, "chat", "gpt", "other")
    size = {"width": 390, "height": 844}
    with Visitor(browser, system.url, color_scheme=theme, viewport=size) as visitor:
        visitor.sign_in(system.token)
        page = visitor.page
        visitor.go("/endpoints/chat", "chat")
        page.get_by_text("No calls in the last hour.").wait_for()
        assert page.locator(".time-chart").count() == 0
        visitor.press("15 minutes")
        page.get_by_text("Recorded since").wait_for()
        assert [_ask(rest), _ask(rest, stream=True), _ask(rest, max_tokens=-1)] == [200, 200, 400]
        requests = page.get_by_role("img", name="Requests every 5 seconds: gpt")
        requests.wait_for(timeout=90_000)
        visitor.press("1 hour")
        for title in (
            "Requests by minute",
            "Refused and failed",
            "Duration",
            "First chunk",
            "Tokens",
        ):
            page.get_by_role("img", name=title).wait_for()
        routes = [{"served_model_name": "gpt", "traffic_percentage": 100}]
        routes.append({"served_model_name": "other", "traffic_percentage": 0})
        change = {"traffic_config": {"routes": routes}}
        rest.call("PUT", "/api/2.0/serving-endpoints/chat/config", change)
        page.locator(".time-chart .mark", has_text="v2").first.wait_for()
        page.get_by_text("As a table").click()
        row = page.get_by_role("region", name="Traffic as a table").get_by_role("row")
        row.filter(has_text="gpt").first.wait_for()
        page.get_by_role("img", name="Requests by minute").hover()
        page.locator(".legend strong").first.wait_for()
        assert not _axe(visitor)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        assert not visitor.complaints


def test_what_is_used_of_limits_is_shown_where_they_are(visitor: Visitor, rest: Rest) -> None:
    create(rest, "chat", "gpt")
    limits = [
        {"key": "user", "calls": 2, "renewal_period": "minute"},
        {"key": "endpoint", "tokens": 0, "renewal_period": "minute"},
    ]
    gateway = "/api/2.0/serving-endpoints/chat/ai-gateway"
    page = visitor.page
    rest.call("PUT", gateway, {"rate_limits": limits[:1]})
    visitor.go("/endpoints/chat/gateway", "chat")
    own = page.get_by_role("row").filter(has_text="by you")
    own.get_by_text("of all users").wait_for()
    # Of one minute or the next, all beyond two are refused.
    refused = [_ask(rest) for _ in range(6)].count(429)
    assert refused >= 2
    rest.call("PUT", gateway, {"rate_limits": limits})
    assert _ask(rest) == 429
    endpoint = page.get_by_role("row").filter(has_text="Endpoint").filter(has_text="Tokens")
    endpoint.get_by_text("0 of 0").wait_for()
    assert not _axe(visitor)
