"""Runs `modelplane` commands in this process against the shared system, as a shell would."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelplane.deploy.command.cli import main
from tests.e2e.rest import Json, Rest
from tests.e2e.system import System

SCIM = "/api/2.0/preview/scim/v2"
# What a developer's shell may have, and a test must not see.
_VARIABLES = (
    "MODELPLANE_URL",
    "MODELPLANE_TOKEN",
    "MODELPLANE_ADMIN_TOKEN",
    "MODELPLANE_DATA_DIR",
    "DATABRICKS_HOST",
    "DATABRICKS_TOKEN",
    "DATABRICKS_CLIENT_ID",
    "DATABRICKS_CLIENT_SECRET",
    "DATABRICKS_CONFIG_PROFILE",
    "DATABRICKS_CONFIG_FILE",
)


class Shell:
    """Gives commands; each says what it printed."""

    def __init__(
        self, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], directory: Path
    ) -> None:
        self._patch = patch
        self._capsys = capsys
        self.directory = directory
        for name in _VARIABLES:
            patch.delenv(name, raising=False)
        patch.setenv("HOME", str(directory))
        patch.chdir(directory)

    def set(self, **variables: str) -> None:
        """Set variables of the environment; empty: unset."""
        for name, value in variables.items():
            if value:
                self._patch.setenv(name, value)
            else:
                self._patch.delenv(name, raising=False)

    def run(self, *arguments: str, status: int = 0, typed: str = "") -> str:
        """Give a command that must end with a status; return what it printed."""
        return self.both(*arguments, status=status, typed=typed)[0]

    def error(self, *arguments: str, status: int) -> str:
        """Give a command that must fail; return the one line that it told."""
        out, err = self.both(*arguments, status=status)
        assert out == ""
        assert err.count("\n") == 1, err
        return err

    def both(self, *arguments: str, status: int = 0, typed: str = "") -> tuple[str, str]:
        """Give a command; return what it printed, and what it told beside it."""
        self._patch.setattr("sys.stdin", io.StringIO(typed))
        self._capsys.readouterr()
        found = main(list(arguments))
        out, err = self._capsys.readouterr()
        assert found == status, err or out
        return out, err

    def json(self, *arguments: str, status: int = 0) -> Json:
        """Give a command; return the JSON that it printed."""
        found: Any = json.loads(self.run(*arguments, "-o", "json", status=status))
        assert isinstance(found, dict)
        return found


@pytest.fixture
def shell(
    system: System,
    rest: Rest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Iterator[Shell]:
    """Give a shell whose environment names the system; who was made there goes away afterwards."""
    made = Shell(monkeypatch, capsys, tmp_path)
    made.set(MODELPLANE_URL=system.url, MODELPLANE_TOKEN=system.token)
    yield made
    for kind, keeps in (("Users", {"admin"}), ("Groups", {"admins", "users"})):
        for one in rest.call("GET", f"{SCIM}/{kind}")["Resources"]:
            if one.get("userName", one.get("displayName")) not in keeps:
                rest.call("DELETE", f"{SCIM}/{kind}/{one['id']}")
