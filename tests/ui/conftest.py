"""A real Chromium and the shared system, for what only a browser can show.

It takes a minute, so it is a part of `make test-long` alone. Needs Chromium (Debian's package of
that name), Playwright (`.venv/bin/python -m pip install playwright`) and the pages (`make ui`);
without one of them the tests are skipped, and say which.
"""

import shutil
from collections.abc import Iterator

import pytest

from modelplane.control_plane.ui.assets import PAGE, STATIC
from tests.e2e.rest import Rest
from tests.e2e.system import System
from tests.ui.visitor import Visitor, launch


def _missing() -> str:
    if not (STATIC / PAGE).exists():
        return "the pages are not built: make ui"
    if shutil.which("chromium") is None:
        return "there is no program `chromium`"
    return ""


@pytest.fixture(scope="session", autouse=True)
def _browser_is_there() -> None:
    if reason := _missing():
        pytest.skip(reason)
    pytest.importorskip("playwright", reason="Playwright is not installed")


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Give a running Chromium."""
    with launch(str(shutil.which("chromium"))) as chromium:
        yield chromium


@pytest.fixture
def visitor(browser: object, system: System, rest: Rest) -> Iterator[Visitor]:
    """Give the administrator, signed in; nothing may break the pages' policy meanwhile."""
    del rest
    with Visitor(browser, system.url) as one:
        one.sign_in(system.token)
        yield one
        assert not one.complaints
