"""The pages are opened by the user's own program, and where there is none the user is told."""

import subprocess
import sys
from pathlib import Path

import pytest

from modelplane.control_plane.ui.assets import PAGE
from modelplane.deploy.local import browser
from modelplane.deploy.local.options import UpOptions

URL = "http://127.0.0.1:8080"
_PROGRAM = """
import sys
from pathlib import Path
from modelplane.deploy.local import browser
browser.STATIC = Path(sys.argv[1])
print(browser.open_pages(sys.argv[2]), end="")
"""


def _told(tmp_path: Path, **environ: str) -> str:
    """Return what a process of its own says, as `webbrowser` looks for browsers once."""
    (tmp_path / PAGE).write_text("pages")
    program = [sys.executable, "-c", _PROGRAM, str(tmp_path), URL]
    environ |= {"PATH": str(tmp_path)}
    return subprocess.run(program, env=environ, check=True, capture_output=True, text=True).stdout


def test_the_users_browser_is_given_the_address(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    mine = tmp_path / "mine"
    mine.write_text(f'#!/bin/sh\nprintf %s "$1" > {seen}\n')
    mine.chmod(0o700)
    assert _told(tmp_path, BROWSER=f"{mine} %s") == ""
    assert seen.read_text() == f"{URL}/ui/"


def test_who_has_no_screen_or_no_browser_is_told_the_address(tmp_path: Path) -> None:
    assert (
        _told(tmp_path)
        == f"there is no screen to open a browser on: see {URL}/ui/ from where there is one"
    )
    assert _told(tmp_path, DISPLAY=":1") == f"no browser could be opened: see {URL}/ui/"


def test_without_pages_nothing_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "STATIC", tmp_path)
    assert "make ui" in browser.open_pages(URL)


def test_what_is_not_served_is_not_opened() -> None:
    with pytest.raises(ValueError, match="--no-ui"):
        UpOptions(open=True, no_ui=True)
