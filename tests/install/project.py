"""A small project that `install.py` installs from wheels on this disk; for `test_installer.py`."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

from modelplane.adapters.shared.settings import environment
from tests.install import wheels
from tests.install.locks import ROOT
from tests.install.wheels import write_wheel

# In-tree, so that nothing is needed to build with it.
_BACKEND = """
import pathlib, sys, wheels

def build_editable(directory, config_settings=None, metadata_directory=None):
    if pathlib.Path("protos/modelserving/a.proto").read_text() == "broken":
        sys.exit("a.proto: it is broken")
    with open("builds", "a") as builds:
        builds.write("built\\n")
    return wheels.write_wheel(pathlib.Path(directory), "modelplane", "1.0").name
"""
_PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


class Project:
    """Has the locks and sources that `install.py` looks for.

    Attributes:
        root: Its directory.
        settings: Variables that its installations see.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.index = root / "index"
        self.settings = {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.index),
        }
        self.index.mkdir(parents=True)
        (root / "protos" / "modelserving").mkdir(parents=True)
        shutil.copy(ROOT / "install.py", root)
        shutil.copy(ROOT / "Makefile", root)
        self.proto = root / "protos" / "modelserving" / "a.proto"
        self.proto.write_text("fine")
        (root / "pyproject.toml").write_text(_PYPROJECT)
        (root / "backend.py").write_text(_BACKEND)
        shutil.copy(wheels.__file__, root)
        # Newer than what is locked, and asked for by a name with an extra.
        write_wheel(self.index, "library", "2.0")
        self.lock("requirements.lock", ("application", "library[extra]"), ("library",))
        self.lock("deploy/local/model.txt", ("model", "plugin"))
        self.lock("requirements-extras.lock", ("telemetry",))
        self.lock("requirements-dev.lock", ("tool",))

    def lock(self, file: str, *packages: tuple[str, ...]) -> None:
        """Write wheels of version 1.0, and the lock that holds them."""
        lines = []
        for name, *needed in packages:
            wheel = write_wheel(self.index, name, "1.0", *needed)
            digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
            lines.append(f"{name}==1.0 \\\n    --hash=sha256:{digest}\n")
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines))

    def command(self, target: str) -> list[str]:
        """Return what installs for a target of `make`."""
        return [sys.executable, str(self.root / "install.py"), target]

    def environment(self) -> dict[str, str]:
        """Return all variables of an installation."""
        return {**environment(), **self.settings}

    def install(self, target: str) -> subprocess.CompletedProcess[str]:
        """Install for a target of `make`."""
        return subprocess.run(
            self.command(target),
            env=self.environment(),
            check=False,
            capture_output=True,
            text=True,
        )

    def installed(self) -> dict[str, str]:
        """Return the versions of what is installed, without pip and its like."""
        [packages] = (self.root / ".venv").glob("lib/python*/site-packages")
        found = {one.name: one.version for one in distributions(path=[str(packages)])}
        return {name: found[name] for name in sorted(found) if name not in {"pip", "setuptools"}}

    def builds(self) -> int:
        """Return how often the project itself was built."""
        return len((self.root / "builds").read_text().splitlines())

    def note(self) -> dict[str, str]:
        """Return what is noted as whole; empty: nothing."""
        file = self.root / ".venv" / "installed"
        return dict(json.loads(file.read_text())) if file.exists() else {}
