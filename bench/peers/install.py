"""Installs each peer into an environment of its own, from the pins in `requirements/`.

`make lock` makes the pins of Python packages, `NAME.txt`, from what is wanted, `NAME.in`.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PINS = Path(__file__).parent / "requirements"
_INSTALL_SECONDS = 900.0


def nothing(_home: Path) -> None:
    """Install nothing: for what this environment already holds."""


def python_packages(pins: str) -> Callable[[Path], None]:
    """Return what makes a virtual environment that holds exactly the packages of a file of pins."""

    def install(home: Path) -> None:
        requirements = PINS / pins
        if _is_installed(home, requirements):
            return
        run(sys.executable, "-m", "venv", "--clear", str(home))
        pip = (str(home / "bin" / "python"), "-m", "pip")
        options = ("--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:")
        run(*pip, "install", *options, "--requirement", str(requirements))
        # Nothing was resolved: the pins themselves have to be complete.
        run(*pip, "check")
        _note_installed(home, requirements)

    return install


def node_packages(pins: str) -> Callable[[Path], None]:
    """Return what installs the packages of a `package.json` and of the lock file beside it."""

    def install(home: Path) -> None:
        manifest, lock = PINS / pins, PINS / pins.replace(".json", "-lock.json")
        if _is_installed(home, lock):
            return
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError("it needs `npm`, which is not installed")
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(manifest, home / "package.json")
        shutil.copy(lock, home / "package-lock.json")
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev")
        run(npm, "ci", *options, "--prefix", str(home))
        _note_installed(home, lock)

    return install


def _is_installed(home: Path, pins: Path) -> bool:
    noted = home / "installed"
    return noted.exists() and noted.read_bytes() == pins.read_bytes()


def _note_installed(home: Path, pins: Path) -> None:
    shutil.copy(pins, home / "installed")


def run(*command: str, environment: Mapping[str, str] | None = None) -> None:
    """Run a command.

    Args:
        command: Program and its arguments.
        environment: Variables beside this process's own.

    Raises:
        RuntimeError: It failed; the text has what it said.
    """
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command,
        check=False,
        timeout=_INSTALL_SECONDS,
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode:
        said = (done.stdout + done.stderr)[-2000:]
        raise RuntimeError(f"{_shown(command)} failed:\n{said}")


def _shown(command: Sequence[str]) -> str:
    return " ".join(command)
