"""The Pythons of this machine, one of which is the model's.

A pickle is read by the minor version of Python that wrote it, or not at all.
"""

import asyncio
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uv

from modelplane.launcher.environments.failures import EnvironmentFailed

_LIST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Python:
    """A Python of this machine."""

    path: Path
    version: tuple[int, ...]

    @property
    def minor(self) -> str:
        """As `3.11`."""
        return f"{self.version[0]}.{self.version[1]}"


class Pythons:
    """Those that are found, which is remembered: looking takes seconds.

    Args:
        named: Directories of Pythons that the operator names, which come before all others.
        environment: Variables of this process.
        shared: Whether other users of this machine have to be able to run them.
    """

    def __init__(
        self, named: Sequence[Path], environment: Mapping[str, str], *, shared: bool
    ) -> None:
        self._named = named
        self._environment = environment
        self._shared = shared
        own = Python(Path(sys.executable).resolve(), sys.version_info[:3])
        self._known = [] if named else self._usable([own])

    async def find(self, minor: str) -> Python:
        """Return a Python of a minor version.

        Args:
            minor: As `3.11`; empty: any will do. It is that of this process where that can be
                used, or else the one nearest to it.

        Raises:
            EnvironmentFailed: There is none.
        """
        own = ".".join(platform.python_version_tuple()[:2])
        if python := self._first(minor or own):
            return python
        found = await _list(self._named, self._environment)
        self._known = self._usable(found)
        python = self._first(minor or own) or (None if minor else self._nearest())
        if python:
            return python
        closed = sorted({each.minor for each in found} - set(self._minors()), key=_by_number)
        raise EnvironmentFailed(
            f"The model needs Python {minor or own}, which is not on this machine; there are "
            f"{', '.join(self._minors()) or 'none'}. Install it, or log the model with one of "
            "these." + _told_of_closed(closed)
        )

    def _first(self, minor: str) -> Python | None:
        return next((python for python in self._there() if python.minor == minor), None)

    def _nearest(self) -> Python | None:
        def distance(python: Python) -> int:
            return abs(python.version[1] - sys.version_info.minor)

        same = [python for python in self._there() if python.version[0] == sys.version_info.major]
        return min(same, key=distance, default=None)

    def _minors(self) -> list[str]:
        return sorted({python.minor for python in self._known}, key=_by_number)

    def _there(self) -> list[Python]:
        return [python for python in self._known if python.path.exists()]

    def _usable(self, found: Sequence[Python]) -> list[Python]:
        return [python for python in found if not self._shared or open_to_all(python.path)]


def _told_of_closed(minors: Sequence[str]) -> str:
    """What to do about Pythons that the users of models may not run; empty where there are none."""
    if not minors:
        return ""
    return (
        f" Python {', '.join(minors)} is there, but below a directory that other users may not "
        "enter, and models run as users of their own."
    )


def _by_number(minor: str) -> list[int]:
    return [int(part) for part in minor.split(".")]


async def _list(named: Sequence[Path], environment: Mapping[str, str]) -> list[Python]:
    path = os.pathsep.join([*(str(each) for each in named), environment.get("PATH", os.defpath)])
    process = await asyncio.create_subprocess_exec(
        uv.find_uv_bin(),
        *("python", "list", "--only-installed", "--output-format", "json", "--no-config"),
        env={**environment, "PATH": path},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_LIST_SECONDS):
            said, _ = await process.communicate()
    except TimeoutError as error:
        raise EnvironmentFailed("Looking for the Pythons of this machine took too long.") from error
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        return []
    return [
        Python(Path(each["path"]), tuple(each["version_parts"].values()))
        for each in json.loads(said)
        if each["path"] and each["implementation"] == "cpython"
    ]


def open_to_all(path: Path) -> bool:
    """Whether all users may run a file, by the modes of it and of the directories above it."""
    real = path.resolve()
    return all(each.stat().st_mode & 0o001 for each in (real, *real.parents, *path.parents))
