"""An environment for each client, made once from its pins and kept beside the checkout's own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.system import System

_CLIENTS = Path(__file__).parent
_HOMES = _CLIENTS.parent.parent / ".test-clients"
_INSTALL_SECONDS = 600.0
_RUN_SECONDS = 60.0
_AGENT_SECONDS = 180.0


def run_node(program: str, system: System) -> Mapping[str, Any]:
    """Run a program of `node/` against a system, and return what it prints: JSON."""
    node, home = node_home("node")
    # Packages are looked for beside the program.
    shutil.copy(_CLIENTS / "node" / program, home)
    return _told([node, program], home, system)


def run_agent(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> str:
    """Run a coding agent of `agents/` and return what it prints.

    Args:
        command: Its script below `node_modules`, and arguments.
        folder: Where it works, and keeps what is its own.
        variables: Its environment, beside what every program needs.
    """
    node, home = node_home("agents")
    script = home / "node_modules" / command[0]
    own: dict[str, str] = {"PATH": f"{Path(node).parent}:{os.defpath}", "HOME": str(folder)}
    return run([node, str(script), *command[1:]], folder, _AGENT_SECONDS, {**own, **variables})


def node_home(name: str) -> tuple[str, Path]:
    """Return Node's program, and a folder with the packages that a folder here locks.

    They are those of `package-lock.json`, by hash; none runs a script when installed.
    """
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise AssertionError("the clients in JavaScript need Node.js and its `npm`")
    files = _CLIENTS / name

    def install(home: Path) -> None:
        for file in ("package.json", "package-lock.json"):
            shutil.copy(files / file, home)
        run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], home, _INSTALL_SECONDS)

    return node, _home(name, files / "package-lock.json", install)


def run_python(program: str, pins: str, system: System) -> Mapping[str, Any]:
    """Run a program of `python/` against a system, and return what it prints: JSON.

    Its packages are exactly those of a file of pins, by hash; nothing is resolved.
    """
    home = python_home(pins)
    return _told([str(home / "bin" / "python"), str(_CLIENTS / "python" / program)], home, system)


def python_home(pins: str) -> Path:
    """Return an environment with the packages of a file of pins of `python/`."""
    files = _CLIENTS / "python"

    def install(home: Path) -> None:
        run([sys.executable, "-m", "venv", "--clear", str(home)], home, _INSTALL_SECONDS)
        options = ("--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:")
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", *options]
        run([*pip, "--requirement", str(files / pins)], home, _INSTALL_SECONDS)

    return _home(pins, files / pins, install)


def _home(name: str, lock: Path, install: Callable[[Path], None]) -> Path:
    """Return the directory of an environment, which is made anew when its lock is another one."""
    home = _HOMES / name
    noted = home / "installed"
    if not (noted.exists() and noted.read_bytes() == lock.read_bytes()):
        home.mkdir(parents=True, exist_ok=True)
        install(home)
        shutil.copy(lock, noted)
    return home


def _told(command: list[str], home: Path, system: System) -> Mapping[str, Any]:
    variables = {
        "PATH": os.defpath,
        "HOME": str(home),
        "DATABRICKS_HOST": system.url,
        "DATABRICKS_TOKEN": system.token,
        # It would fetch its list of prices.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    printed = run([*command, system.url, system.token], home, _RUN_SECONDS, variables)
    # Some clients print more, before.
    told = json.loads(printed.splitlines()[-1])
    assert isinstance(told, dict)
    return told


def run(
    command: list[str], home: Path, seconds: float, variables: Mapping[str, str] | None = None
) -> str:
    """Run a command and return what it prints; its environment is this one's unless it has one."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command,
        cwd=home,
        timeout=seconds,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        env=variables,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
