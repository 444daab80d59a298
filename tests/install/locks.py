"""Whether locks are complete: `test_locks.py` asks, from what the installed packages say they need.

pip installs from a lock without resolving, so what a lock lacks would be missing.
"""

import re
import tomllib
from collections.abc import Collection, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from runpy import run_path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).parent.parent.parent
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
# The release that the tree is on its way to, and others of `protos/version.py`.
RELEASE: dict[str, Any] = run_path(str(ROOT / "protos" / "version.py"))
# The first and any last release of each Python that is tested: markers may name either.
_PYTHONS = ("3.11.0", "3.11.99", "3.12.0", "3.12.99", "3.13.0", "3.13.99")
_MACHINES = ("x86_64", "aarch64")
_ENTRY = re.compile(r"^\w.*\n(?:[ ].*\n)*", re.MULTILINE)

Environment = dict[str, str]


def environments() -> list[Environment]:
    """Return those that modelplane is for, as markers see them."""
    here = {key: str(value) for key, value in default_environment().items()}
    return [
        {
            **here,
            "implementation_version": version,
            "platform_machine": machine,
            "python_full_version": version,
            "python_version": version.rpartition(".")[0],
        }
        for version in _PYTHONS
        for machine in _MACHINES
    ]


def entries(*names: str) -> list[str]:
    """Return the packages of locks, each with its hashes."""
    return [entry for name in names for entry in _ENTRY.findall((ROOT / name).read_text())]


def requirement(entry: str) -> Requirement:
    """Return which package an entry of a lock is, and where it is installed."""
    return Requirement(entry.partition(" \\\n")[0])


def gaps(
    locked: Sequence[Requirement],
    wanted: Sequence[str],
    environment: Environment,
    without: Collection[str] = (),
) -> list[str]:
    """Return what is missing for all of it to work in an environment, in words.

    Args:
        locked: The locked packages.
        wanted: Requirements of modelplane itself.
        environment: Where they are installed.
        without: Packages that are left out on purpose.
    """
    walk = _Walk(locked, environment, without)
    for one in map(Requirement, wanted):
        if one.marker is None or one.marker.evaluate(environment):
            walk.ask("modelplane", one)
    walk.ask_all()
    return walk.gaps


class _Walk:
    """Asks packages what they need, and the extras of packages that others name."""

    def __init__(
        self, locked: Sequence[Requirement], environment: Environment, without: Collection[str]
    ) -> None:
        self.gaps: list[str] = []
        self._environment = environment
        self._without = without
        self._versions = {
            canonicalize_name(one.name): next(iter(one.specifier)).version
            for one in locked
            if self._applies(one)
        }
        self._here = {
            canonicalize_name(one.name)
            for one in locked
            if one.marker is None or one.marker.evaluate()
        }
        # It grows while it is gone through.
        self._packages = [(name, "") for name in self._versions]

    def ask_all(self) -> None:
        for name, extra in self._packages:
            found = self._installed(name)
            for text in (found and found.requires) or ():
                if self._applies(needed := Requirement(text), extra):
                    self.ask(name, needed)

    def ask(self, who: str, needed: Requirement) -> None:
        name = canonicalize_name(needed.name)
        version = self._versions.get(name)
        if name in self._without:
            return
        if version is None:
            self.gaps.append(f"{who} needs {needed}, which is not locked")
            return
        if not needed.specifier.contains(version, prereleases=True):
            self.gaps.append(f"{who} needs {needed}, and {version} is locked")
        extras = [(name, extra) for extra in sorted(needed.extras)]
        self._packages.extend(pair for pair in extras if pair not in self._packages)

    def _installed(self, name: NormalizedName) -> Distribution | None:
        try:
            found = distribution(name)
        except PackageNotFoundError:
            # What only another Python installs is asked for there.
            if name in self._here:
                self.gaps.append(f"{name} is not installed")
            return None
        if found.version != self._versions[name]:
            self.gaps.append(f"{name} is installed as {found.version}, which is not what is locked")
        return found

    def _applies(self, needed: Requirement, extra: str = "") -> bool:
        return needed.marker is None or needed.marker.evaluate(
            {**self._environment, "extra": extra}
        )
