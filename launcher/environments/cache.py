"""The environments of this machine: found by what they hold, built once, shared, dropped when full.

An environment is named by a digest of its requirements, its Python and the platform. It is built
beside its place and renamed, so that what is there is whole; a lock per name lets one launcher
build while others wait, and keeps what is held from being dropped.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import platform
import secrets
import shutil
import sysconfig
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelplane.launcher.counts import Work
from modelplane.launcher.environments.build import Log, Order, Sandbox, build_environment
from modelplane.launcher.environments.failures import EnvironmentFailed
from modelplane.launcher.environments.index import read_index
from modelplane.launcher.environments.packages import Packages
from modelplane.launcher.environments.pythons import Python, Pythons
from modelplane.launcher.environments.requirements import Requested, read_requested

_DIGITS = 24
_PARTIAL = ".partial-"
_LOCK = ".lock"
_POLL_SECONDS = 0.2
_NEEDED_BYTES = 1 << 30


class Held:
    """An environment, which stays until it is released.

    Attributes:
        python: Its Python.
    """

    def __init__(self, python: Path, lock: int) -> None:
        self.python = python
        self._lock = lock

    def release(self) -> None:
        """Say that it is no longer needed; not more than once."""
        os.close(self._lock)


@dataclass(frozen=True, slots=True)
class Options:
    """How environments are kept and built.

    Attributes:
        most: Environments that are kept while nobody needs them.
        package_bytes: What the packages that were fetched may take after a build.
        pythons: Directories of Pythons, before those that are found.
        shared: Whether other users of this machine run the environments.
        build_seconds: Time for one build.
        sandbox: Who runs builds; None: this process's user.
        environ: Variables of this process, of which uv gets those about package indexes.
        work: Counts builds.
    """

    environ: Mapping[str, str] = field(repr=False)
    most: int = 20
    package_bytes: int = 20 << 30
    pythons: Sequence[Path] = ()
    shared: bool = False
    build_seconds: float = 1800.0
    sandbox: Sandbox | None = None
    work: Work = field(default_factory=Work)


class Environments:
    """The environments that this machine has.

    Args:
        folder: Directory of theirs alone.
        options: How they are kept and built.
    """

    def __init__(self, folder: Path, options: Options) -> None:
        self._folder = folder.absolute()
        self._options = options
        self._packages = Packages(self._folder, options.package_bytes)
        self._pythons = Pythons(options.pythons, options.environ, shared=options.shared)

    async def hold(self, model: Path, log: Log) -> Held:
        """Return the environment of a model, building it if it is not there.

        Args:
            model: The model's directory.
            log: Takes each line that the build says, as soon as it is said.

        Raises:
            EnvironmentFailed: It cannot be had.
        """
        return await self.hold_packages(await asyncio.to_thread(read_requested, model), log)

    async def hold_packages(self, requested: Requested, log: Log) -> Held:
        """Return an environment that has some packages, building it if it is not there.

        Raises:
            EnvironmentFailed: It cannot be had.
        """
        for note in requested.notes:
            log(note)
        python = await self._pythons.find(requested.python)
        place = self._folder / _name(requested, python)
        self._folder.mkdir(parents=True, exist_ok=True)
        async with self._alone(place, log) as lock:
            if _python_of(place).exists():
                log(f"The environment is there already, with Python {python.minor}.")
            else:
                with self._options.work.run():
                    await self._build(place, requested, python, log)
                await asyncio.to_thread(self._drop, place)
                if await asyncio.to_thread(self._packages.drop_excess):
                    log("The packages that were fetched took too much room, and are dropped.")
            os.utime(place)
            # Shared from here on: others may hold it too, and nobody can drop it.
            fcntl.flock(lock, fcntl.LOCK_SH)
        return Held(_python_of(place), lock)

    @contextlib.asynccontextmanager
    async def _alone(self, place: Path, log: Log) -> AsyncIterator[int]:
        """Wait until nobody builds or drops an environment."""
        lock = _open_lock(place)
        try:
            if not _try_lock(lock, _wanted_lock(place)):
                log("Another model's build of the same environment is under way.")
                with self._options.work.wait():
                    await _until_locked(lock, place)
            yield lock
        except BaseException:
            os.close(lock)
            raise

    async def _build(self, place: Path, requested: Requested, python: Python, log: Log) -> None:
        free = shutil.disk_usage(self._folder).free
        if free < _NEEDED_BYTES:
            raise EnvironmentFailed(
                f"The disk is full: {free >> 20} MiB are free where environments are kept, and a "
                f"build needs {_NEEDED_BYTES >> 20} MiB."
            )
        options = self._options
        variables = await read_index(options.environ)
        partial = place.with_name(f"{place.name}{_PARTIAL}{secrets.token_hex(4)}")
        partial.mkdir(mode=0o755)
        try:
            log(f"Building an environment with Python {'.'.join(map(str, python.version))}:")
            for line in requested.packages:
                log(f"  {Path(line).name if line.startswith('/') else line}")
            with self._packages.used() as cache:
                order = Order(partial, cache, requested, python, variables)
                await build_environment(order, options.build_seconds, options.sandbox, log)
            await asyncio.to_thread(shutil.rmtree, partial / "scratch", ignore_errors=True)
            partial.rename(place)
        finally:
            await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)

    def _drop(self, newest: Path) -> None:
        """Drop what has not been held for longest, and what was left half-built."""
        whole = [path for path in self._folder.iterdir() if _python_of(path).exists()]
        whole.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in whole[self._options.most :]:
            if path != newest:
                _drop_free(path, path)
        for path in self._folder.glob(f"*{_PARTIAL}*"):
            owner = path.with_name(path.name.partition(_PARTIAL)[0])
            if owner != newest:
                _drop_free(owner, path)


def _drop_free(owner: Path, path: Path) -> None:
    """Drop a directory, if nobody builds or holds the environment it belongs to."""
    lock = _open_lock(owner)
    try:
        if _try_lock(lock, fcntl.LOCK_EX):
            # In one step: half an environment would be taken for a whole one.
            gone = path.with_name(f"{owner.name}{_PARTIAL}{secrets.token_hex(4)}")
            path.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
    finally:
        os.close(lock)


def _name(requested: Requested, python: Python) -> str:
    version = ".".join(map(str, python.version))
    machine = (sysconfig.get_platform(), *platform.libc_ver())
    made_from = (requested.digest, version, str(python.path.resolve()), *machine)
    return hashlib.sha256(repr(made_from).encode()).hexdigest()[:_DIGITS]


def _python_of(place: Path) -> Path:
    return place / "venv" / "bin" / "python"


def _open_lock(place: Path) -> int:
    path = place.with_name(place.name + _LOCK)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _wanted_lock(place: Path) -> int:
    """To share what is there is enough; to build, one has to be alone."""
    return fcntl.LOCK_SH if _python_of(place).exists() else fcntl.LOCK_EX


async def _until_locked(lock: int, place: Path) -> None:
    # Another process may hold it, which tells nobody when it lets go.
    while not _try_lock(lock, _wanted_lock(place)):  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)


def _try_lock(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
