"""What is done on the pages of access and of the AI Gateway: as text, and nothing is lost by it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.rest import Rest
from tests.e2e.system import System
from tests.ui.scenes import create
from tests.ui.visitor import Visitor

pytestmark = pytest.mark.long

_SCIM = "/api/2.0/preview/scim/v2"


def _copied(visitor: Visitor, client: str = "curl") -> str:
    """Return a client's text of the dialog that is opened by the last *Copy as*, and close it."""
    page = visitor.page
    page.get_by_role("button", name="Copy as", exact=True).last.click()
    shown = page.get_by_role("dialog", name="Copy this request")
    shown.get_by_role("button", name=client, exact=True).click()
    text: str = shown.get_by_label(f"{client} snippet").inner_text()
    shown.get_by_role("button", name="Close").click()
    return text


def _run(system: System, text: str, **variables: str) -> str:
    program = ["sh", "-c"] if text.startswith("curl") else [sys.executable, "-W", "ignore", "-c"]
    told = subprocess.run(
        [*program, text],
        env={"PATH": os.defpath, "HOME": "/nowhere", "TOKEN": system.token, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout


def test_a_secret_and_its_readers_are_copied(visitor: Visitor, system: System, rest: Rest) -> None:
    page = visitor.page
    visitor.go("/secrets/scope", "scope")
    visitor.press("Store a secret")
    page.get_by_label("Key", exact=True).fill("copied")
    page.get_by_label("Value").fill("nobody reads it")
    assert "var.string_value" in _copied(visitor, "Terraform")
    text = _copied(visitor)
    assert "nobody" not in text
    _run(system, text, STRING_VALUE="nobody reads it")
    visitor.press("Cancel")
    page.get_by_role("button", name="Delete copied").wait_for(state="detached")
    page.get_by_label("User, group or application id").fill("users")
    _run(system, _copied(visitor, "Databricks SDK"))
    # What was read less than two seconds ago is not asked for again by going there.
    page.reload()
    page.get_by_label("Permission of users").wait_for()
    page.get_by_role("button", name="Delete copied").click()
    _run(system, _copied(visitor))
    kept = rest.call("GET", "/api/2.0/secrets/list?scope=scope")["secrets"]
    assert "copied" not in [secret["key"] for secret in kept]
    acl = {"scope": "scope", "principal": "users"}
    rest.call("POST", "/api/2.0/secrets/acls/delete", acl)


def test_identities_grants_and_tokens_are_copied(
    visitor: Visitor, system: System, rest: Rest
) -> None:
    create(rest, "chat", "gpt")
    page = visitor.page
    visitor.go("/identity/users", "Identity")
    visitor.press("Create user")
    page.get_by_label("User name").fill("copied")
    assert 'resource "databricks_user" "copied"' in _copied(visitor, "Terraform")
    made = json.loads(_run(system, _copied(visitor)))
    visitor.press("Cancel")
    visitor.go("/endpoints/chat/permissions", "chat")
    page.get_by_label("Name", exact=True).fill("copied")
    page.get_by_label("Kind").select_option("user_name")
    assert 'resource "databricks_permissions"' in _copied(visitor, "Terraform")
    _run(system, _copied(visitor))
    endpoint = rest.call("GET", "/api/2.0/serving-endpoints/chat")["id"]
    granted = rest.call("GET", f"/api/2.0/permissions/serving-endpoints/{endpoint}")
    names = [one.get("user_name") for one in granted["access_control_list"]]
    assert "copied" in names
    rest.call("DELETE", f"{_SCIM}/Users/{made['id']}")


def test_tokens_and_prices_are_copied(visitor: Visitor, system: System, rest: Rest) -> None:
    page = visitor.page
    visitor.go("/account", "Account")
    visitor.press("Create access token")
    page.get_by_label("What it is for").fill("a copy")
    assert json.loads(_run(system, _copied(visitor)))["token_value"]
    visitor.press("Cancel")
    visitor.go("/usage/prices", "Prices")
    visitor.press("Add a price")
    dialog = page.get_by_role("dialog")
    for label, value in (("Provider", "a"), ("Model", "b"), ("Input", "1"), ("Output", "2")):
        dialog.get_by_label(label, exact=True).fill(value)
    _run(system, _copied(visitor))
    try:
        [price] = rest.call("GET", "/api/2.0/prices")["prices"]
        assert price["output_per_million"] == "2"
    finally:
        rest.call("PUT", "/api/2.0/prices", {"prices": []})


def test_what_another_has_changed_meanwhile_is_shown_before_it_is_lost(
    visitor: Visitor, rest: Rest
) -> None:
    create(rest, "chat", "gpt")
    path = "/api/2.0/serving-endpoints/chat/ai-gateway"
    page = visitor.page
    visitor.go("/endpoints/chat/gateway", "chat")
    visitor.press("Edit")
    rest.call("PUT", path, {"retry_config": {"max_retries": 1}})
    page.get_by_label("Track usage").check()
    visitor.press("Save")
    told = page.get_by_role("alert").filter(has_text="Somebody else has changed")
    assert '"max_retries": 1' in told.get_by_label("Now there").inner_text()
    assert '"enabled": true' in told.get_by_label("Yours").inner_text()
    assert rest.call("GET", path)["retry_config"] == {"max_retries": 1}
    visitor.press("Save mine in place of it")
    page.get_by_text("On", exact=True).first.wait_for()
    saved = rest.call("GET", path)
    assert saved["usage_tracking_config"] == {"enabled": True}
    assert "retry_config" not in saved


def test_each_setting_of_the_gateway_is_edited_where_it_stands(
    visitor: Visitor, rest: Rest
) -> None:
    create(rest, "chat", "gpt", "other")
    page = visitor.page
    visitor.go("/endpoints/chat/gateway", "chat")
    focused = "document.activeElement.labels[0].textContent"
    for name, label in (("between chunks", "Seconds between chunks"), ("fallbacks", "Ask another")):
        visitor.press(f"Edit {name}")
        assert page.evaluate(focused).startswith(label)
        if name == "between chunks":
            visitor.press("Discard")
    page.keyboard.press("Space")
    visitor.press("Save")
    page.get_by_text("after the first, up to two others of gpt → other").wait_for()
    visitor.press("Edit limits")
    assert page.evaluate("document.activeElement.textContent") == "Add limit"
    visitor.press("Discard")
    visitor.press("Edit payload table")
    page.keyboard.press("Space")
    page.get_by_label("Catalog").fill("main")
    page.get_by_label("Schema").fill("logs")
    visitor.press("Save")
    page.get_by_text("main.logs.chat_payload").wait_for()
    saved = rest.call("GET", "/api/2.0/serving-endpoints/chat/ai-gateway")
    assert saved["fallback_config"] == {"enabled": True}


@pytest.fixture
def ann(rest: Rest) -> Iterator[str]:
    """Give the token of a user who has an endpoint `chat` by several grants."""
    endpoint = create(rest, "chat", "gpt")["id"]
    user = rest.call("POST", f"{_SCIM}/Users", {"userName": "ann"})["id"]
    group = {"displayName": "support", "members": [{"value": user}]}
    group_id = rest.call("POST", f"{_SCIM}/Groups", group)["id"]
    grants = [
        {"user_name": "ann", "permission_level": "CAN_VIEW"},
        {"group_name": "users", "permission_level": "CAN_VIEW"},
        {"group_name": "support", "permission_level": "CAN_MANAGE"},
    ]
    path = f"/api/2.0/permissions/serving-endpoints/{endpoint}"
    rest.call("PUT", path, {"access_control_list": grants})
    yield _token(rest, "ann")
    rest.call("DELETE", f"{_SCIM}/Users/{user}")
    rest.call("DELETE", f"{_SCIM}/Groups/{group_id}")


def _token(rest: Rest, name: str) -> str:
    made = {"application_id": name, "comment": "browser"}
    path = "/api/2.0/token-management/on-behalf-of/tokens"
    token: str = rest.call("POST", path, made)["token_value"]
    return token


def test_why_somebody_may_do_what_is_explained(
    visitor: Visitor, browser: object, system: System, ann: str
) -> None:
    page = visitor.page
    visitor.go("/endpoints/chat/permissions", "chat")
    # What would be there again at once cannot be taken away.
    table = page.get_by_role("region", name="Permissions")
    table.get_by_text("locked: administrators manage every endpoint").wait_for()
    table.get_by_text("locked: has created the endpoint").wait_for()
    assert table.get_by_role("button", name="Remove").count() == 3
    page.get_by_label("Who", exact=True).fill("ann")
    visitor.press("Explain")
    reasons = page.locator(".ladder li")
    reasons.first.wait_for()
    assert reasons.all_inner_texts() == [
        "CAN_MANAGE as a member of the group support",
        "CAN_VIEW by a grant of its own",
        "CAN_VIEW as a member of the group users",
    ]
    page.get_by_label("Who", exact=True).fill("nobody")
    visitor.press("Explain")
    page.get_by_text("There is no user or service principal nobody.").wait_for()
    # Who is no administrator asks for themselves.
    with Visitor(browser, system.url) as other:
        other.sign_in(ann)
        other.go("/endpoints/chat/permissions", "chat")
        other.press("Explain")
        other.page.get_by_text("CAN_MANAGE as a member of the group support").wait_for()
        assert not other.complaints


def test_signing_out_everywhere_ends_the_other_browser(
    browser: object, system: System, rest: Rest
) -> None:
    user = rest.call("POST", f"{_SCIM}/Users", {"userName": "everywhere"})["id"]
    token = _token(rest, "everywhere")
    with Visitor(browser, system.url) as one, Visitor(browser, system.url) as other:
        for visitor in (one, other):
            visitor.sign_in(token)
        one.go("/account", "Account")
        one.press("Sign out everywhere")
        one.page.get_by_label("Access token").wait_for()
        other.press("Refresh")
        other.page.get_by_label("Access token").wait_for()
    rest.call("DELETE", f"{_SCIM}/Users/{user}")


def test_a_service_principal_gets_a_client_secret(
    visitor: Visitor, system: System, rest: Rest
) -> None:
    made = rest.call("POST", f"{_SCIM}/ServicePrincipals", {"displayName": "nightly"})
    page = visitor.page
    visitor.go("/identity/service-principals", "Identity")
    page.get_by_role("button", name="Client secrets of nightly").click()
    page.get_by_text("It has no client secret.").wait_for()
    visitor.press("Create client secret")
    value = page.locator(".value code")
    value.wait_for()
    # It is shown this once, so that no key pressed by chance takes it away.
    page.keyboard.press("Escape")
    secret = value.inner_text()
    visitor.press("Close without copying")
    page.get_by_role("dialog", name="Client secrets of nightly").wait_for()
    page.get_by_role("button", name="Delete client secret").wait_for()
    token = _run(
        system,
        f"curl -s -u {made['applicationId']}:{secret} "
        f"-d 'grant_type=client_credentials&scope=all-apis' {system.url}/oidc/v1/token",
    )
    assert json.loads(token)["access_token"]
    page.get_by_role("button", name="Delete client secret").click()
    page.get_by_role("dialog").last.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text("It has no client secret.").wait_for()
    rest.call("DELETE", f"{_SCIM}/ServicePrincipals/{made['id']}")


_CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
_THOUGHT = {"type": "thinking", "thinking": "Which time is it?", "signature": "signed"}


def _events(*deltas: dict[str, Any]) -> str:
    chunks = [json.dumps({"choices": [{"index": 0, "delta": delta}]}) for delta in deltas]
    return "".join(f"data: {chunk}\n\n" for chunk in (*chunks, "[DONE]"))


def test_a_model_gets_its_thoughts_back_with_the_result(visitor: Visitor, rest: Rest) -> None:
    create(rest, "chat", "gpt")
    page = visitor.page
    answers = [
        _events(
            {"role": "assistant", "reasoning_content": "Which time "},
            {"reasoning_content": "is it?", "thinking_blocks": [_THOUGHT]},
            {"tool_calls": [{**_CALL, "extra_content": {"google": {"thought_signature": "x"}}}]},
        ),
        _events({"role": "assistant", "content": "It is noon."}),
    ]
    sent: list[Any] = []

    def answer(route: Any) -> None:
        sent.append(route.request.post_data_json)
        body = answers[len(sent) - 1]
        route.fulfill(status=200, content_type="text/event-stream", body=body)

    page.route("**/serving-endpoints/chat/invocations", answer)
    visitor.go("/playground/chat", "Playground")
    visitor.press("Send")
    page.get_by_text("Thoughts").click()
    page.get_by_text("Which time is it?").wait_for()
    visitor.press("Continue")
    page.get_by_text("It is noon.").wait_for()
    [_, said, result] = sent[1]["messages"]
    assert said["reasoning_content"] == "Which time is it?"
    assert said["thinking_blocks"] == [_THOUGHT]
    assert said["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "x"}}
    assert result["tool_call_id"] == "c1"


def test_events_are_narrowed_to_a_time_and_the_operator_is_told(
    visitor: Visitor, rest: Rest
) -> None:
    create(rest, "chat", "gpt")
    page = visitor.page
    page.get_by_text("the administrator that every deployment has").wait_for()
    visitor.press("Hide")
    visitor.go("/audit", "Audit log")
    page.get_by_text("the administrator that every deployment has").wait_for(state="detached")
    with page.expect_request(lambda request: "start_time=" in request.url):
        page.get_by_label("Time").select_option(label="Last hour")
    page.get_by_role("cell", name="CreateServingEndpoint").first.wait_for()


def test_the_content_is_a_key_away_and_focus_is_seen(visitor: Visitor) -> None:
    page, keys = visitor.page, visitor.page.keyboard
    visitor.go("/workers", "Workers")
    page.reload()
    page.get_by_role("heading", name="Workers", level=1).wait_for()
    visitor.tab_to("Skip to the content")
    look = "getComputedStyle(document.activeElement)"
    assert page.evaluate(f"{look}.outlineWidth") == "2px"
    assert page.evaluate(f"{look}.outlineStyle") == "solid"
    keys.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    assert page.evaluate("location.hash") == "#/workers"


def test_who_wants_no_motion_sees_none(browser: object, system: System, rest: Rest) -> None:
    del rest
    moving = """[...document.querySelectorAll('*')].filter(element => {
      const { transitionDuration, animationName } = getComputedStyle(element)
      return transitionDuration !== '0s' || animationName !== 'none'
    }).length"""
    with Visitor(browser, system.url, reduced_motion="reduce") as visitor:
        visitor.sign_in(system.token)
        assert visitor.page.evaluate(moving) == 0


def test_a_phone_has_room_for_the_head_and_for_all_buttons(
    browser: object, system: System, rest: Rest
) -> None:
    name = "somebody.with.a.rather.long.name@departments.example.com"
    made = rest.call("POST", f"{_SCIM}/Users", {"userName": name})
    asked = {"application_id": name, "comment": "browser"}
    path = "/api/2.0/token-management/on-behalf-of/tokens"
    token = rest.call("POST", path, asked)["token_value"]
    with Visitor(browser, system.url, viewport={"width": 390, "height": 844}) as visitor:
        visitor.sign_in(token)
        page = visitor.page
        page.get_by_role("link", name=name).wait_for()
        page.get_by_text("Workers ready").wait_for()
        navigation = page.get_by_label("Navigation").bounding_box()
        assert navigation["y"] + navigation["height"] < 140
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        visitor.go("/secrets", "Secrets")
        visitor.press("Store a secret")
        page.get_by_label("Scope", exact=True).fill("not-there-yet")
        dialog = page.get_by_role("dialog")
        left = dialog.bounding_box()["x"]
        for label in ("Copy the new scope as", "Copy as", "Cancel", "Store"):
            box = dialog.get_by_role("button", name=label, exact=True).bounding_box()
            assert left < box["x"] < box["x"] + box["width"] < left + 358
    rest.call("DELETE", f"{_SCIM}/Users/{made['id']}")
