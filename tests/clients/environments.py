"""An environment for each client, made once from its pins and kept beside the checkout's own."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.e2e.system import System

_CLIENTS = Path(__file__).parent
_HOMES = _CLIENTS.parent.parent / ".test-clients"
_INSTALL_SECONDS = 600.0
_RUN_SECONDS = 60.0


def node_home() -> Path:
    """Return the directory in which programs of `node/` find their packages.

    They are the ones of `package-lock.json`, by hash; none runs a script when it is installed.
    """
    home = _HOMES / "node"
    lock = _CLIENTS / "node" / "package-lock.json"
    noted = home / "installed"
    if not (noted.exists() and noted.read_bytes() == lock.read_bytes()):
        home.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_CLIENTS / "node" / name, home)
        npm = shutil.which("npm")
        assert npm, "the clients in JavaScript need Node.js and its `npm`"
        _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], home, _INSTALL_SECONDS)
        shutil.copy(lock, noted)
    return home


def run_node(program: str, system: System) -> Mapping[str, Any]:
    """Run a program of `node/` against a system, and return what it prints: JSON."""
    home = node_home()
    # Packages are looked for beside the program.
    shutil.copy(_CLIENTS / "node" / program, home)
    node = shutil.which("node")
    assert node, "the clients in JavaScript need Node.js"
    printed = _run([node, program, system.url, system.token], home, _RUN_SECONDS)
    told = json.loads(printed)
    assert isinstance(told, dict)
    return told


def _run(command: list[str], home: Path, seconds: float) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, cwd=home, timeout=seconds, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
