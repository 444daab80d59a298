"""The pages do what they say, with a real browser, against the running system."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.rest import Rest
from tests.e2e.system import System
from tests.ui.scenes import create, entity, looker
from tests.ui.visitor import Visitor

_UI = Path(__file__).parents[2] / "ui"
_ENTITIES = ("gpt", "other")

pytestmark = pytest.mark.long


def test_a_wrong_token_is_refused_and_no_token_is_left_for_scripts(
    browser: object, system: System
) -> None:
    with Visitor(browser, system.url) as visitor:
        visitor.open()
        visitor.page.get_by_label("Access token").fill("dapi-wrong")
        visitor.press("Sign in")
        visitor.page.get_by_role("alert").wait_for()
        visitor.sign_in(system.token)
        kept = visitor.page.evaluate(
            "[document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage)]"
        )
        assert not any("dapi" in text for text in kept)
        visitor.page.reload()
        visitor.page.get_by_role("heading", name="Serving endpoints").wait_for()
        visitor.press("Sign out")
        visitor.page.get_by_role("heading", name="modelplane").wait_for()
        visitor.page.reload()
        visitor.page.get_by_label("Access token").wait_for()
        assert not visitor.complaints


def _providers() -> list[tuple[dict[str, Any], int, str]]:
    text = (_UI / "src" / "providers.gen.json").read_text() if _built() else "[]"
    return [
        (form, place, group)
        for form in json.loads(text)
        for place, case in enumerate(form["cases"])
        for group in case["one_of"] or [""]
    ]


def _built() -> bool:
    return (_UI / "src" / "providers.gen.json").exists()


_VALUES = {
    "bedrock_provider": "anthropic",
    "aws_region": "us-east-1",
    "instance_profile_arn": "arn:aws:iam::123456789012:role/a-role",
    "project_id": "a-project",
    "region": "us-central1",
    "openai_api_base": "https://a-resource.openai.azure.com",
    "openai_api_version": "2024-10-21",
    "databricks_workspace_url": "https://a-workspace.cloud.databricks.com",
    "custom_provider_url": "https://models.example.com/v1",
    "api_key_auth.key": "x-api-key",
}
_MODELS = {"google-cloud-vertex-ai": "gemini-2.5-pro"}


def _fill(page: Any, form: dict[str, Any]) -> None:
    """Fill in what is required, each control by its kind; secrets refer to one that is there."""
    for control in page.locator("fieldset.entity :is(input, select):required").all():
        if control.input_value() or control.get_attribute("type") == "radio":
            continue
        label = page.locator(f'label[for="{control.get_attribute("id")}"]').inner_text()
        if control.get_attribute("placeholder") == "scope/key":
            control.fill("scope/key")
        elif label == "Model":
            control.fill(_MODELS.get(form["provider"], "a-model"))
        else:
            path = label.lower().replace(" ", "_")
            value = next((v for k, v in _VALUES.items() if k.split(".")[-1] == path), "a-value")
            if control.evaluate("control => control.tagName") == "SELECT":
                control.select_option(value)
            else:
                control.fill(value)


@pytest.mark.parametrize(
    ("form", "place", "group"),
    _providers(),
    ids=lambda value: value["provider"] if isinstance(value, dict) else str(value),
)
def test_an_endpoint_of_each_provider_is_created_by_its_form(
    visitor: Visitor, rest: Rest, form: dict[str, Any], place: int, group: str
) -> None:
    key = {"type": "service_account", "client_email": "a@b.c", "private_key": _pem()}
    if form["provider"] == "google-cloud-vertex-ai":
        secret = {"scope": "scope", "key": "google", "string_value": json.dumps(key)}
        rest.call("POST", "/api/2.0/secrets/put", secret)
    page = visitor.page
    visitor.go("/endpoints/new", "Create serving endpoint")
    page.get_by_label("Name", exact=True).fill("made")
    page.get_by_label("Provider", exact=True).select_option(form["provider"])
    if len(form["cases"]) > 1:
        page.locator("fieldset.choice").first.get_by_role("radio").nth(place).check()
    if group:
        options = form["cases"][place]["one_of"]
        page.locator("fieldset.choice").last.get_by_role("radio").nth(options.index(group)).check()
    _fill(page, form)
    if form["provider"] == "google-cloud-vertex-ai":
        page.get_by_placeholder("scope/key").fill("scope/google")
    shown = page.get_by_label("curl snippet").inner_text()
    visitor.press("Create")
    page.get_by_role("heading", name="made", exact=True).wait_for()
    made = rest.call("GET", "/api/2.0/serving-endpoints/made")
    sent = json.loads(shown[shown.index("-d '") + 4 : -1])
    [entity] = (made.get("config") or made["pending_config"])["served_entities"]
    assert entity["external_model"] == sent["config"]["served_entities"][0]["external_model"]
    assert entity["external_model"]["provider"] == form["provider"]


def _pem() -> str:
    program = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
    return subprocess.run(program, check=True, capture_output=True, text=True).stdout


def test_a_split_is_set_by_keys_and_rolled_back(visitor: Visitor, rest: Rest) -> None:
    create(rest, "chat", *_ENTITIES)
    page = visitor.page
    visitor.go("/endpoints/chat", "chat")
    visitor.press("Edit split")
    slider = page.get_by_label("Share of other in percent")
    slider.focus()
    for _ in range(15):
        slider.press("ArrowRight")
    visitor.press("Apply split")
    visitor.press("Apply")
    page.get_by_text("version 2", exact=True).first.wait_for()
    assert _shares(rest) == [75, 25]
    visitor.go("/endpoints/chat/versions", "chat")
    page.get_by_role("button", name="Compare version 1 with 2").click()
    visitor.press("Roll back to 1")
    page.get_by_text("version 3", exact=True).first.wait_for()
    assert _shares(rest) == [90, 10]


def _shares(rest: Rest) -> list[int]:
    config = rest.call("GET", "/api/2.0/serving-endpoints/chat")["config"]
    return [route["traffic_percentage"] for route in config["traffic_config"]["routes"]]


def test_an_update_that_hangs_is_canceled_at_the_top_right(
    visitor: Visitor, system: System, rest: Rest
) -> None:
    create(rest, "chat", *_ENTITIES)
    page = visitor.page
    visitor.go("/endpoints/chat", "chat")
    cancel = page.get_by_role("button", name="Cancel update")
    assert cancel.count() == 0
    state = json.loads((system.data_dir / "up.json").read_text())
    process = state["workers"][0]["pid"]
    os.kill(process, signal.SIGSTOP)
    try:
        split = {
            "routes": [{"served_model_name": name, "traffic_percentage": 50} for name in _ENTITIES]
        }
        rest.call("PUT", "/api/2.0/serving-endpoints/chat/config", {"traffic_config": split})
        cancel.wait_for()
        page.get_by_text("Being rolled out").wait_for()
        place, window = cancel.bounding_box(), page.viewport_size
        assert place["x"] > window["width"] * 0.75
        # Below the bar, and below what the administrator is told.
        assert place["y"] < 200
        cancel.click()
        page.get_by_text("Ready (Update canceled)").wait_for()
    finally:
        os.kill(process, signal.SIGCONT)
    assert _shares(rest) == [90, 10]


def test_who_may_only_look_is_told_what_the_rest_takes(
    browser: object, system: System, rest: Rest
) -> None:
    made = create(rest, "chat", *_ENTITIES)
    with looker(rest, made) as token, Visitor(browser, system.url) as visitor:
        visitor.sign_in(token)
        visitor.go("/endpoints/chat", "chat")
        for name in ("Delete", "Edit configuration", "Edit split"):
            button = visitor.page.get_by_role("button", name=name, exact=True)
            assert button.is_disabled()
            assert "CAN_MANAGE" in button.get_attribute("title")
        assert visitor.page.get_by_role("button", name="Requests").first.is_disabled()
        assert visitor.page.get_by_role("link", name="Identity").count() == 0
        assert not visitor.complaints


def test_identities_are_made_and_get_tokens(visitor: Visitor) -> None:
    page = visitor.page
    visitor.go("/identity/users", "Identity")
    visitor.press("Create user")
    page.get_by_label("User name").fill("ann")
    page.get_by_role("dialog").get_by_role("button", name="Create").click()
    page.get_by_role("button", name="Token for ann").click()
    page.get_by_label("What it is for").fill("a test")
    page.get_by_role("dialog").get_by_role("button", name="Create").click()
    assert page.get_by_role("dialog").locator("code").inner_text().startswith("dapi")
    visitor.press("Close without copying")
    visitor.go("/identity/groups", "Identity")
    page.get_by_label("New group").fill("readers")
    visitor.press("Create group")
    page.get_by_role("button", name="Members of readers").click()
    page.get_by_label("User or service principal").fill("ann")
    page.get_by_role("dialog").get_by_role("button", name="Add").click()
    page.get_by_role("button", name="Remove ann").click()
    page.get_by_text("Nobody is in this group.").wait_for()


def test_a_secret_is_stored_and_taken_away(visitor: Visitor, rest: Rest) -> None:
    page = visitor.page
    visitor.go("/secrets", "Secrets")
    visitor.press("Store a secret")
    page.get_by_label("Scope", exact=True).fill("made-here")
    page.get_by_label("Key", exact=True).fill("key")
    page.get_by_label("Value").fill("nobody reads it")
    visitor.press("Store")
    page.get_by_text("{{secrets/made-here/key}}").wait_for()
    visitor.press("Delete scope")
    page.get_by_label("Type made-here to confirm").fill("made-here")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="Secrets", level=1).wait_for()
    scopes = rest.call("GET", "/api/2.0/secrets/scopes/list")["scopes"]
    assert "made-here" not in [scope["name"] for scope in scopes]


def test_guardrails_are_set_tried_and_kept_by_other_settings(visitor: Visitor, rest: Rest) -> None:
    create(rest, "chat", "gpt")
    page = visitor.page
    visitor.go("/endpoints/chat/guardrails", "chat")
    page.get_by_role("button", name="Edit", exact=True).first.click()
    page.get_by_label("Personal data").first.select_option("MASK")
    visitor.press("Save")
    page.locator("dd", has_text="Mask it").wait_for()
    page.get_by_role("button", name="Edit", exact=True).nth(1).click()
    # The example that an endpoint without policies is offered.
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    page.get_by_role("cell", name="badges").wait_for()
    page.get_by_label("Text", exact=True).fill("\U0001f600 write to ann@example.com about EMP-1234")
    visitor.press("Check")
    page.get_by_text("Passes with marks").wait_for()
    assert page.locator("mark").all_inner_texts() == ["ann@example.com", "EMP-1234"]
    visitor.go("/endpoints/chat/gateway", "chat")
    visitor.press("Edit")
    page.get_by_label("Track usage").check()
    visitor.press("Save")
    page.get_by_text("On", exact=True).first.wait_for()
    saved = rest.call("GET", "/api/2.0/serving-endpoints/chat/ai-gateway")
    assert saved["guardrails"]["input"]["pii"] == {"behavior": "MASK"}
    assert saved["usage_tracking_config"] == {"enabled": True}


def test_an_update_is_checked_before_it_is_sent(visitor: Visitor, rest: Rest) -> None:
    create(rest, "chat", "gpt")
    page = visitor.page
    visitor.go("/endpoints/chat/edit", "Edit configuration")
    page.get_by_label("Model", exact=True).fill("gpt-4o")
    visitor.press("Check")
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("served_entities[gpt].external_model.name").wait_for()
    assert dialog.locator("ins").all_inner_texts() == ['"gpt-4o"']
    versions = rest.call("GET", "/api/2.0/serving-endpoints/chat/config-versions")
    assert len(versions["config_versions"]) == 1


def test_a_key_that_cannot_be_read_back_stays(visitor: Visitor, rest: Rest) -> None:
    served = entity("gpt")
    served["external_model"]["openai_config"] = {"openai_api_key_plaintext": "sk-1"}
    config = {"served_entities": [served]}
    rest.call("POST", "/api/2.0/serving-endpoints", {"name": "chat", "config": config})
    page = visitor.page
    visitor.go("/endpoints/chat/edit", "Edit configuration")
    assert page.get_by_label("OpenAI API key").input_value() == "kept"
    page.get_by_label("Model", exact=True).fill("gpt-4o")
    visitor.press("Update")
    page.get_by_text("version 2", exact=True).first.wait_for()
    made = rest.call("GET", "/api/2.0/serving-endpoints/chat")["config"]
    assert made["served_entities"][0]["external_model"]["name"] == "gpt-4o"


def test_requests_are_found_by_what_became_of_them(visitor: Visitor, rest: Rest) -> None:
    create(rest, "chat", "gpt")
    visitor.go("/endpoints/chat/usage", "chat")
    page = visitor.page
    page.get_by_label("Status").select_option("5xx")
    page.get_by_text("No request of this time passes these filters.").wait_for()
    visitor.press("Clear filters")
    page.get_by_text("Nothing was recorded in this time.").wait_for()


def test_a_list_of_many_is_searched_by_the_deployment(visitor: Visitor, rest: Rest) -> None:
    for number in range(51):
        rest.call("POST", "/api/2.0/serving-endpoints", {"name": f"many-{number:03d}"})
    page = visitor.page
    page.get_by_role("button", name="Refresh").click()
    page.get_by_role("button", name="Next").click()
    page.get_by_text("51 to 51").wait_for()
    visitor.press("Previous")
    page.get_by_role("link", name="many-000", exact=True).wait_for()
    assert page.locator("tbody tr").count() == 50
    page.get_by_label("State").select_option("Ready")
    page.get_by_text("No endpoint passes these filters.").wait_for()
    visitor.press("Clear filters")
    page.get_by_role("searchbox", name="Search").fill("MANY-050")
    page.get_by_role("link", name="many-050", exact=True).wait_for()
    assert page.locator("tbody tr").count() == 1
    page.get_by_role("searchbox", name="Search").fill("none of them")
    page.get_by_text("No endpoint passes these filters.").wait_for()
    visitor.press("Clear filters")
    page.get_by_role("link", name="many-000", exact=True).wait_for()


def test_a_rollout_is_shown_worker_by_worker(visitor: Visitor, rest: Rest) -> None:
    create(rest, "chat", "gpt")
    workers = rest.call("GET", "/api/2.0/workers")["workers"]
    visitor.go("/endpoints/chat/rollout", "chat")
    page = visitor.page
    page.get_by_text("Version 1 ACTIVE").wait_for()
    for worker in workers:
        page.get_by_role("cell", name=worker["worker_id"]).wait_for()
    assert page.get_by_role("img", name="Activate").count() == len(workers)
    visitor.go("/endpoints/chat/versions", "chat")
    page.get_by_role("link", name="1", exact=True).click()
    page.get_by_text("Version 1 ACTIVE").wait_for()


def test_each_worker_is_shown(visitor: Visitor, rest: Rest) -> None:
    visitor.go("/workers", "Workers")
    workers = rest.call("GET", "/api/2.0/workers")["workers"]
    assert len(workers) == 2
    for worker in workers:
        visitor.page.get_by_role("cell", name=worker["worker_id"]).wait_for()


_PAGES = {
    "/endpoints": "Serving endpoints",
    "/endpoints/new": "Create serving endpoint",
    "/endpoints/chat": "chat",
    "/endpoints/chat/edit": "Edit configuration",
    "/endpoints/chat/rollout": "chat",
    "/endpoints/chat/versions": "chat",
    "/endpoints/chat/gateway": "chat",
    "/endpoints/chat/guardrails": "chat",
    "/endpoints/chat/usage": "chat",
    "/endpoints/chat/permissions": "chat",
    "/playground/chat": "Playground",
    "/playground/compare/chat~gpt,chat~other": "Compare",
    "/usage": "Usage",
    "/usage/prices": "Prices",
    "/secrets": "Secrets",
    "/secrets/scope": "scope",
    "/identity/users": "Identity",
    "/identity/groups": "Identity",
    "/identity/service-principals": "Identity",
    "/identity/tokens": "Identity",
    "/workers": "Workers",
    "/audit": "Audit log",
    "/account": "Account",
}
_TOLD = ").violations.map(found => `${found.id}: ${found.nodes[0].html}`)"
# Not looked at by itself: that what is pressed has 24 px, or as much room.
_RULES = "{rules: {'target-size': {enabled: true}}}"
_AXE = f"async () => (await axe.run({_RULES})" + _TOLD
_AXE_IN = f"async (part) => (await axe.run(part, {_RULES})" + _TOLD


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_violation_that_axe_finds_or_is_wider_than_a_phone(
    browser: object, system: System, rest: Rest, theme: str
) -> None:
    create(rest, "chat", *_ENTITIES)
    axe = (_UI / "node_modules" / "axe-core" / "axe.min.js").read_text()
    size = {"width": 390, "height": 844}
    found: dict[str, list[str]] = {}
    with Visitor(browser, system.url, color_scheme=theme, viewport=size) as visitor:
        visitor.open()
        # The way of a tool, which the pages' policy does not hold for.
        visitor.page.evaluate(axe)
        visitor.page.get_by_label("Access token").wait_for()
        found["sign in"] = visitor.page.evaluate(_AXE)
        visitor.sign_in(system.token)
        visitor.page.evaluate(axe)
        visitor.go("/endpoints/chat", "chat")
        for name in ("Copy as", "Delete"):
            visitor.press(name)
            found[name] = visitor.page.get_by_role("dialog").evaluate(_AXE_IN)
            visitor.page.keyboard.press("Escape")
        for path, heading in _PAGES.items():
            visitor.go(path, heading)
            if violations := visitor.page.evaluate(_AXE):
                found[path] = violations
            if visitor.page.evaluate("document.documentElement.scrollWidth") > size["width"]:
                found[path] = ["wider than the window"]
        assert not {path: wrong for path, wrong in found.items() if wrong}
        assert not visitor.complaints
