"""Somebody at a browser: what is done and seen at the pages, in the words of people.

Playwright's waits are on what is on the page, never on time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

Json = dict[str, Any]

_MOST_TABS = 60
# Ends what hangs; a busy machine may take long.
_MOST_MILLISECONDS = 120_000
_FOCUSED = """() => {
  const focused = document.activeElement
  const label = focused.labels?.[0]?.firstChild?.textContent
  return (focused.getAttribute('aria-label') ?? label ?? focused.textContent).trim()
}"""


@dataclass(frozen=True)
class Call:
    """A call that a page made.

    Attributes:
        method: HTTP method.
        path: Path and query.
        body: What was sent, if anything was.
        status: Status of the answer.
        answer: The answer, if it is JSON.
    """

    method: str
    path: str
    body: Any
    status: int
    answer: Any

    @classmethod
    def of(cls, request: Any, url: str) -> Self:
        """Read a request of Playwright's, which has been answered."""
        response = request.response()
        is_json = response.headers.get("content-type", "").startswith("application/json")
        return cls(
            request.method,
            request.url.removeprefix(url),
            request.post_data_json if request.post_data else None,
            response.status,
            response.json() if is_json and request.method != "GET" else None,
        )


@contextmanager
def launch(program: str) -> Iterator[object]:
    """Run Chromium until the block ends."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - it may not be there

    with sync_playwright() as playwright:
        # Tests may be root's, for whom Chromium has no sandbox.
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Visitor:
    """One browser window, with storage of its own."""

    def __init__(self, browser: Any, url: str, **settings: Any) -> None:
        """Open a window; `settings` are those of a browser context."""
        self._context = browser.new_context(**settings)
        self._url = url
        self.page = self._context.new_page()
        self.page.set_default_timeout(_MOST_MILLISECONDS)
        self.complaints: list[str] = []
        self.requests: list[Any] = []
        self._finished: set[Any] = set()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._note)
        # To ask for the answer to another would wait for what never comes.
        self.page.on("requestfinished", self._finish)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def open(self) -> None:
        """Go to the first page."""
        self.page.goto(f"{self._url}/ui/")

    def sign_in(self, token: str) -> None:
        """Sign in, and wait for the list of endpoints."""
        self.open()
        self.page.get_by_label("Access token").fill(token)
        self.page.get_by_role("button", name="Sign in", exact=True).click()
        self.page.get_by_role("heading", name="Serving endpoints").wait_for()

    def go(self, path: str, heading: str) -> None:
        """Go to a page, as a link to it would."""
        self.page.evaluate("path => { location.hash = path }", path)
        self.page.get_by_role("heading", name=heading, exact=True, level=1).wait_for()
        self.page.locator(".loading").first.wait_for(state="detached")

    def press(self, name: str) -> None:
        """Press the button of this name."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def tab_to(self, name: str, *, back: bool = False) -> None:
        """Press Tab until the control of this name, or with a label of this text, has the focus."""
        for _ in range(_MOST_TABS):
            self.page.keyboard.press("Shift+Tab" if back else "Tab")
            if self.page.evaluate(_FOCUSED) == name:
                return
        raise AssertionError(f"Tab does not lead to {name!r}")

    def cookies(self) -> list[Json]:
        """Return the cookies that the window has, also those that no script can read."""
        found: list[Json] = self._context.cookies()
        return found

    def calls(self) -> list["Call"]:
        """Return the calls of the API so far, in their order, with what they were answered."""
        return [
            Call.of(request, self._url)
            for request in self.requests
            if request.resource_type == "fetch" and request in self._finished
        ]

    def _note(self, request: Any) -> None:
        self.requests.append(request)

    def _finish(self, request: Any) -> None:
        self._finished.add(request)

    def _hear(self, message: Any) -> None:
        # An answer that is no success is told, too, and is no fault of the page.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)
