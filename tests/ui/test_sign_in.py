"""Signing in and out with a browser: with tokens, and with an account at an outside issuer."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.rest import Rest
from tests.e2e.system import System, run_system, wait_for
from tests.emulators.oidc import OidcEmulator, SignInClient, run_in_thread
from tests.ui.scenes import create
from tests.ui.visitor import Visitor

pytestmark = pytest.mark.long

_KEPT = "[document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage)]"


def _kept(visitor: Visitor) -> list[str]:
    found: list[str] = visitor.page.evaluate(_KEPT)
    return found


def test_an_own_token_signs_in_and_its_cookie_is_void_after_signing_out(
    browser: object, system: System, rest: Rest
) -> None:
    create(rest, "chat", "gpt")
    made = rest.call("POST", "/api/2.0/token/create", {"comment": "browser"})
    with Visitor(browser, system.url) as visitor:
        visitor.sign_in(made["token_value"])
        assert _kept(visitor) == ["", "{}", "{}"]
        [cookie] = visitor.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        visitor.press("Sign out")
        visitor.page.get_by_label("Access token").wait_for()
        assert visitor.cookies() == []
    headers = {
        "cookie": f"{cookie['name']}={cookie['value']}",
        "x-ui-session": "1",
        "sec-fetch-site": "same-origin",
    }
    query = {"messages": [{"role": "user", "content": "Hello"}]}
    path = f"{system.url}/serving-endpoints/chat/invocations"
    # Enough that both workers take part.
    answers = [requests.post(path, json=query, headers=headers, timeout=10) for _ in range(8)]
    answers.append(
        requests.get(f"{system.url}/api/2.0/serving-endpoints", headers=headers, timeout=10)
    )
    assert {answer.status_code for answer in answers} == {401}


@pytest.fixture(scope="module")
def issuer() -> Iterator[OidcEmulator]:
    """Give a strict issuer."""
    with run_in_thread() as running:
        yield running


@pytest.fixture(scope="module")
def its_system(issuer: OidcEmulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Give a system whose users may sign in at the issuer."""
    setting: dict[str, Any] = {
        "issuer": issuer.url,
        "audiences": ["api"],
        "principal_claim": "email",
        "client_id": "pages",
        "client_secret_env": "SIGN_IN_SECRET",
        "label": "Our login",
    }
    settings = {"MODELPLANE_OIDC_ISSUERS": json.dumps([setting]), "SIGN_IN_SECRET": "a secret"}
    path: Path = tmp_path_factory.mktemp("issuer") / "data"
    with run_system(path, "--no-hosting", workers=1, settings=settings) as system:
        issuer.client = SignInClient("pages", "a secret", [f"{system.url}/ui/"], {})
        with Rest(system) as rest:
            rest.call("POST", "/api/2.0/preview/scim/v2/Users", {"userName": "ann"})
        yield system


def test_an_account_at_an_issuer_signs_in(
    browser: object, its_system: System, issuer: OidcEmulator
) -> None:
    assert issuer.client
    issuer.client.claims = {"email": "ann"}
    # Its keys are fetched beside the start.
    wait_for(lambda: "/keys" in issuer.asked)
    with Visitor(browser, its_system.url) as visitor:
        visitor.page.goto(f"{its_system.url}/ui/#/playground")
        visitor.press("Sign in with Our login")
        # Back at the page that was asked for.
        visitor.page.get_by_role("heading", name="Playground", level=1).wait_for()
        assert visitor.page.url == f"{its_system.url}/ui/#/playground"
        visitor.page.get_by_role("link", name="ann", exact=True).wait_for()
        assert _kept(visitor) == ["", "{}", "{}"]
        assert not visitor.complaints


def test_who_is_no_user_and_who_asked_elsewhere_are_told(
    browser: object, its_system: System, issuer: OidcEmulator
) -> None:
    assert issuer.client
    issuer.client.claims = {"email": "stranger"}
    with Visitor(browser, its_system.url) as visitor:
        visitor.open()
        visitor.press("Sign in with Our login")
        alert = visitor.page.get_by_role("alert")
        alert.get_by_text("stranger is not a user of this deployment").wait_for()
        # What an administrator is to send.
        snippet = visitor.page.get_by_label("curl snippet")
        snippet.get_by_text('"userName": "stranger"').wait_for()
        assert visitor.cookies() == []
        # As a link in a letter would, to have somebody work in another's name.
        visitor.page.goto(f"{its_system.url}/ui/?code=theirs&state=theirs")
        visitor.page.get_by_text("This browser has not asked for that").wait_for()
        assert visitor.page.url == f"{its_system.url}/ui/"
        visitor.page.goto(f"{its_system.url}/ui/?error=access_denied&state=theirs")
        visitor.page.get_by_text("This browser has not asked for that").wait_for()
        assert not visitor.complaints
