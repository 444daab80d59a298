"""Signing in as a browser does: with a cookie that no script can read."""

from collections.abc import Iterator

import pytest
import requests

from tests.e2e.rest import CHAT, Rest, endpoint, entity
from tests.e2e.system import System
from tests.emulators.openai import OpenAiEmulator

SESSIONS = "/api/2.0/ui/sessions"
OWN_PAGE = {"x-ui-session": "1", "sec-fetch-site": "same-origin"}
# Enough that both workers take part, for each takes its turns.
TRIES = 8


class Browser:
    """Calls with what the deployment's pages call with."""

    def __init__(self, system: System, token: str) -> None:
        self._url = system.url
        self.session = requests.Session()
        self.session.trust_env = False
        headers = {"authorization": f"Bearer {token}", "sec-fetch-site": "same-origin"}
        self.signed_in = self.session.post(f"{self._url}{SESSIONS}", json={}, headers=headers)

    def call(self, method: str, path: str, body: object = None) -> requests.Response:
        return self.session.request(method, self._url + path, json=body, headers=OWN_PAGE)

    def refused(self, name: str) -> bool:
        """Tell whether neither plane, nor any worker, takes the cookie."""
        path = f"/serving-endpoints/{name}/invocations"
        queries = [self.call("POST", path, CHAT) for _ in range(TRIES)]
        answers = [self.call("GET", "/api/2.0/serving-endpoints"), *queries]
        return {answer.status_code for answer in answers} == {401}


@pytest.fixture
def own_token(rest: Rest) -> str:
    """Give a token of the administrator that is not the deployment's."""
    made = rest.call("POST", "/api/2.0/token/create", {"comment": "a browser's"})
    token: str = made["token_value"]
    return token


@pytest.fixture
def browser(
    system: System, rest: Rest, provider: OpenAiEmulator, own_token: str
) -> Iterator[Browser]:
    """Give a browser that is signed in, and an endpoint."""
    rest.call("POST", "/api/2.0/serving-endpoints", endpoint("chat", entity(provider)))
    browser = Browser(system, own_token)
    yield browser
    browser.session.close()


def test_a_session_does_what_its_owner_may(browser: Browser, rest: Rest, own_token: str) -> None:
    cookie = browser.signed_in.headers["set-cookie"]
    assert browser.signed_in.status_code == 200
    assert all(item in cookie for item in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="))
    assert "dapi" not in browser.signed_in.text
    listed = browser.call("GET", "/api/2.0/serving-endpoints").json()
    assert [item["name"] for item in listed["endpoints"]] == ["chat"]
    for _ in range(TRIES):
        assert browser.call("POST", "/serving-endpoints/chat/invocations", CHAT).ok
    stream = CHAT | {"stream": True}
    text = browser.call("POST", "/serving-endpoints/chat/invocations", stream).text
    assert text.rstrip().endswith("data: [DONE]")
    # Others of the same user may be signed in, too.
    sessions = browser.call("GET", SESSIONS).json()["sessions"]
    [session] = [one for one in sessions if one.get("current")]
    assert session["user_agent"].startswith("python-requests")
    # A cookie alone is nobody.
    bare = browser.session.get(f"{browser.signed_in.url.removesuffix(SESSIONS)}{SESSIONS}")
    assert bare.status_code == 401
    assert own_token not in str(browser.session.cookies)
    begun = rest.call("GET", "/api/2.0/audit-events?action=CreateSession&max_results=1")["events"]
    assert (begun[0]["object_type"], begun[0]["principal_name"]) == ("session", "admin")


def test_signing_out_holds_on_every_worker(browser: Browser) -> None:
    value = browser.session.cookies["modelplane"]
    gone = browser.call("DELETE", f"{SESSIONS}/current")
    assert gone.status_code == 200
    assert "Max-Age=0" in gone.headers["set-cookie"]
    assert "modelplane" not in browser.session.cookies
    # What a thief has kept is worth nothing.
    browser.session.cookies.set("modelplane", value)
    assert browser.refused("chat")


def test_a_session_ends_with_its_token(browser: Browser, rest: Rest) -> None:
    for token in rest.call("GET", "/api/2.0/token/list")["token_infos"]:
        if token["token_id"] != "admin":
            rest.call("POST", "/api/2.0/token/delete", {"token_id": token["token_id"]})
    assert browser.refused("chat")


def test_no_foreign_page_begins_a_session(system: System, own_token: str) -> None:
    for site in ("cross-site", "same-site"):
        headers = {"authorization": f"Bearer {own_token}", "sec-fetch-site": site}
        answer = requests.post(f"{system.url}{SESSIONS}", json={}, headers=headers, timeout=120)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


def test_a_session_is_not_begun_in_the_clear(system: System, own_token: str) -> None:
    headers = {"authorization": f"Bearer {own_token}", "host": "models.example.com"}
    answer = requests.post(f"{system.url}{SESSIONS}", json={}, headers=headers, timeout=120)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "HTTPS" in answer.json()["message"]
    assert "set-cookie" not in answer.headers
