"""A control plane that cannot start says why, in the last line."""

import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

FREE = "127.0.0.1:0"


def last_words(data_dir: Path, settings: Mapping[str, str]) -> str:
    """Return the last line of a control plane that does not start."""
    listen = {
        f"MODELPLANE_{name}_LISTEN": FREE
        for name in ("CONTROL_PLANE", "SNAPSHOT", "CONTROL_PLANE_METRICS")
    }
    program = [str(Path(sys.executable).parent / "modelplane"), "control-plane"]
    ended = subprocess.run(
        [*program, "--data-dir", str(data_dir)],
        env={"MODELPLANE_ADMIN_TOKEN": "secret", **listen, **settings},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 1
    return ended.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"MODELPLANE_ADMIN_TOKEN": ""}, "MODELPLANE_ADMIN_TOKEN must be set."),
        ({"MODELPLANE_OIDC_ISSUERS": "x"}, "MODELPLANE_OIDC_ISSUERS must be a JSON list"),
        ({"MODELPLANE_SECRET_STORES": "x"}, "MODELPLANE_SECRET_STORES must be JSON."),
        ({"MODELPLANE_DATABASE_URL": "mysql://h/d"}, "database URL must begin with sqlite://"),
    ],
)
def test_a_wrong_setting(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    assert last_words(tmp_path, settings).startswith(f"modelplane control-plane: {said}")


def test_a_database_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "modelplane.db").write_text("no database" * 100)
    assert "cannot be used: file is not a database" in last_words(tmp_path, {})


def test_an_address_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = last_words(tmp_path, {"MODELPLANE_SNAPSHOT_LISTEN": address})
    assert said.startswith("modelplane control-plane: ")
    assert address in said
