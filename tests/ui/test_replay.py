"""All that the pages do is a call of the public API: a script does the same, and so do snippets."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.e2e.rest import Rest
from tests.e2e.system import System
from tests.ui.scenes import create
from tests.ui.visitor import Visitor

pytestmark = pytest.mark.long

_READ = {
    "/endpoints/chat": "chat",
    "/endpoints/chat/edit": "Edit configuration",
    "/endpoints/chat/gateway": "chat",
    "/endpoints/chat/guardrails": "chat",
    "/endpoints/chat/permissions": "chat",
    "/usage": "Usage",
    "/usage/prices": "Prices",
    "/secrets": "Secrets",
    "/identity/users": "Identity",
    "/identity/groups": "Identity",
    "/identity/tokens": "Identity",
    "/workers": "Workers",
    "/audit": "Audit log",
    "/account": "Account",
}


def _make(visitor: Visitor) -> None:
    """Make a secret and an endpoint, and look at everything."""
    page = visitor.page
    visitor.go("/secrets", "Secrets")
    visitor.press("Store a secret")
    page.get_by_label("Scope", exact=True).fill("replayed")
    page.get_by_label("Key", exact=True).fill("key")
    page.get_by_label("Value").fill("nobody reads it")
    visitor.press("Store")
    page.get_by_text("{{secrets/replayed/key}}").wait_for()
    visitor.go("/endpoints/new", "Create serving endpoint")
    page.get_by_label("Name", exact=True).fill("chat")
    page.get_by_label("Model", exact=True).fill("gpt-4o-mini")
    page.get_by_placeholder("scope/key").fill("scope/key")
    visitor.press("Create")
    page.get_by_role("heading", name="chat", exact=True).wait_for()
    page.get_by_text("version 1", exact=True).first.wait_for()
    for path, heading in _READ.items():
        visitor.go(path, heading)


def _change(visitor: Visitor) -> None:
    """Change the endpoint, go back, and ask it."""
    page = visitor.page
    visitor.go("/endpoints/chat/gateway", "chat")
    visitor.press("Edit")
    page.get_by_label("Track usage").check()
    visitor.press("Save")
    page.get_by_text("On", exact=True).first.wait_for()
    visitor.go("/endpoints/chat/edit", "Edit configuration")
    page.get_by_label("Model", exact=True).fill("gpt-4o")
    visitor.press("Update")
    page.get_by_text("version 2", exact=True).first.wait_for()
    visitor.go("/endpoints/chat/versions", "chat")
    page.get_by_role("button", name="Compare version 1 with 2").click()
    visitor.press("Roll back to 1")
    page.get_by_text("version 3", exact=True).first.wait_for()
    visitor.go("/playground/chat", "Playground")
    page.get_by_label("Message").fill("Hello")
    visitor.press("Send")
    page.get_by_text("answered by").first.wait_for()


def _take_away(visitor: Visitor) -> None:
    """Leave nothing."""
    page = visitor.page
    visitor.go("/endpoints/chat", "chat")
    visitor.press("Delete")
    page.get_by_label("Type chat to confirm").fill("chat")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="Serving endpoints").wait_for()
    visitor.go("/secrets/replayed", "replayed")
    visitor.press("Delete scope")
    page.get_by_label("Type replayed to confirm").fill("replayed")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="Secrets", level=1).wait_for()


def _shape(value: Any) -> Any:
    """Return the names in a JSON document; what a moment changes is left out."""
    if isinstance(value, dict):
        return {name: _shape(item) for name, item in value.items() if name != "pending_config"}
    return type(value).__name__


def test_what_the_pages_ask_is_asked_by_a_script_with_the_same_answers(
    visitor: Visitor, system: System, rest: Rest
) -> None:
    # Before this, nobody was signed in.
    visitor.requests.clear()
    for work in (_make, _change, _take_away):
        work(visitor)
    assert all(request.url.startswith(system.url) for request in visitor.requests)
    seen = [one for one in visitor.calls() if "/ui/" not in one.path]
    changes = [one for one in seen if one.method != "GET"]
    assert {one.method for one in changes} >= {"POST", "PUT", "DELETE"}
    ids = ("", "")
    # What only reads is asked once, at its place among what changes.
    asked: set[tuple[str, int]] = set()
    done = 0
    for one in seen:
        done += one.method != "GET"
        if one.method == "GET" and (one.path, done) in asked:
            continue
        asked.add((one.path, done))
        answer = rest.send(one.method, one.path.replace(*ids), one.body)
        assert answer.status_code == one.status, (one, answer.text)
        if one.method != "GET" and "text/event-stream" not in answer.headers["content-type"]:
            told = answer.json()
            assert _shape(told) == _shape(one.answer), one
            if one.path == "/api/2.0/serving-endpoints":
                ids = (one.answer["id"], told["id"])
    assert rest.call("GET", "/api/2.0/serving-endpoints")["endpoints"] == []


@pytest.mark.parametrize("client", ["curl", "OpenAI", "Databricks SDK", "MLflow"])
def test_a_copied_snippet_runs(visitor: Visitor, system: System, rest: Rest, client: str) -> None:
    create(rest, "chat", "gpt")
    visitor.go("/endpoints/chat", "chat")
    visitor.press("Copy as")
    visitor.page.get_by_role("button", name=client, exact=True).click()
    text = visitor.page.get_by_label(f"{client} snippet").inner_text()
    program = ["sh", "-c"] if client == "curl" else [sys.executable, "-W", "ignore", "-c"]
    variables = {"PATH": os.defpath, "HOME": "/nowhere", "TOKEN": system.token}
    told = subprocess.run(
        [*program, text], env=variables, capture_output=True, text=True, check=True
    )
    assert "What is a gateway?" in told.stdout


def test_a_copied_change_runs(visitor: Visitor, system: System, rest: Rest) -> None:
    page = visitor.page
    visitor.go("/endpoints/new", "Create serving endpoint")
    page.get_by_label("Name", exact=True).fill("made")
    page.get_by_label("Model", exact=True).fill("gpt-4o-mini")
    visitor.press("Give the value here")
    page.locator("input[type=password]").fill("sk-secret")
    shown = page.get_by_label("curl snippet").inner_text()
    assert "sk-secret" not in shown
    variables = {"PATH": os.defpath, "TOKEN": system.token, "OPENAI_API_KEY": "sk-secret"}
    told = subprocess.run(
        ["sh", "-c", shown], env=variables, capture_output=True, text=True, check=True
    )
    assert json.loads(told.stdout)["name"] == "made"
    assert rest.call("GET", "/api/2.0/serving-endpoints/made")["id"]
