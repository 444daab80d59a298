"""The files of models on this machine: fetched once, kept while there is room.

An entry is named by all that says which version of which model it is, the digest of its `MLmodel`
file included: that digest alone would not do, since a directory may hold versions that share the
file and differ in their weights. Used by `local/preparation.py`; `adapters/registries` fetches.
"""

import asyncio
import errno
import hashlib
import logging
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from modelserving.launcher.v1.launcher_service_pb2 import ModelSource

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.launcher.counts import Work

_log = logging.getLogger(__name__)

_MOST_AT_ONCE = 2
_PARTIAL = ".partial-"
_NAME_DIGITS = 40
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FOLDER_MODE, _FILE_MODE = 0o755, 0o644

# Told the bytes that have been fetched, and how many there are; 0: not known.
Progress = Callable[[int, int], None]
# Fetches all files of a version into an empty directory. Raises `FetchFailed`, or OSError.
Download = Callable[[ModelSource, Path, Progress], Awaitable[None]]


class FetchFailed(Exception):
    """The model's files cannot be had; the text says why, for whoever wants to serve it."""


class Held:
    """The files of a model, which stay until they are released.

    Attributes:
        files: Their directory.
    """

    def __init__(self, files: Path, release: Callable[[], None]) -> None:
        self.files = files
        self._release = release

    def release(self) -> None:
        """Say that they are no longer needed; not more than once."""
        self._release()


class Artifacts:
    """The models that this machine has.

    Args:
        folder: Where they are kept.
        room: Bytes that those may take which nothing uses; what is used is kept in any case.
        download: Fetches one.
        at_once: How many may be fetched at a time.
        work: Counts what is fetched.
    """

    def __init__(
        self,
        folder: Path,
        room: int,
        download: Download,
        *,
        at_once: int = _MOST_AT_ONCE,
        work: Work | None = None,
    ) -> None:
        self._folder = folder
        self._room = room
        self._download = download
        self._users: Counter[str] = Counter()
        self._turns = asyncio.Semaphore(at_once)
        self._work = work or Work()
        self._locks: dict[str, asyncio.Lock] = {}
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        for partial in folder.glob(f"{_PARTIAL}*"):
            shutil.rmtree(partial, ignore_errors=True)
        self._sizes = {entry.name: _size(entry) for entry in folder.iterdir()}

    async def hold(
        self, model: ModelSource, progress: Progress, download: Download | None = None
    ) -> Held:
        """Return the files of a model, which are fetched if they are not there.

        Args:
            model: The model.
            progress: Told how far it is.
            download: Fetches it, in the place of what usually does.

        Raises:
            FetchFailed: They cannot be had.
        """
        name = _name_of(model)
        self._users[name] += 1
        try:
            async with self._locks.setdefault(name, asyncio.Lock()):
                files = self._folder / name
                if name not in self._sizes:
                    async with self._work.turn(self._turns):
                        await self._fetch(model, files, progress, download or self._download)
                    await self._make_room(self._room)
        except BaseException:
            self._release(name)
            raise
        os.utime(files)
        return Held(files, lambda: self._release(name))

    def _release(self, name: str) -> None:
        self._users[name] -= 1
        if not self._users[name]:
            del self._users[name]
            self._locks.pop(name, None)

    async def _fetch(
        self, model: ModelSource, files: Path, progress: Progress, download: Download
    ) -> None:
        partial = self._partial()
        try:
            try:
                await _fetch_into(model, partial, progress, download)
            except (FetchFailed, OSError) as error:
                if not _is_full(error) or not await self._make_room(0):
                    raise
                await _fetch_into(model, partial, progress, download)
            await asyncio.to_thread(_let_all_read, partial)
            size = await asyncio.to_thread(_size, partial)
            # Together: whoever is cancelled leaves nothing there that is not known to be.
            partial.rename(files)
            self._sizes[files.name] = size
        except (FetchFailed, OSError) as error:
            if _is_full(error):
                raise FetchFailed(
                    "The launcher's disk has no room for the model's files; let the operator make "
                    "some (MODELPLANE_LAUNCHER_DIR)."
                ) from error
            if isinstance(error, FetchFailed):
                raise
            raise FetchFailed(
                f"The model's files cannot be written ({error.strerror}); ask the operator."
            ) from error
        finally:
            await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)

    def _partial(self) -> Path:
        """Return a path of what is no entry, or no longer."""
        return self._folder / f"{_PARTIAL}{secrets.token_hex(8)}"

    async def _make_room(self, room: int) -> bool:
        """Delete what was not used for longest, until the unused take no more; tell if any was."""
        unused = [name for name in self._sizes if name not in self._users]
        unused.sort(key=lambda name: (self._folder / name).stat().st_mtime)
        taken = sum(self._sizes[name] for name in unused)
        count = 0
        for name in unused:
            if taken <= room:
                break
            taken -= self._sizes.pop(name)
            count += 1
            # Moved first: it may be fetched again while this deletes.
            gone = (self._folder / name).rename(self._partial())
            await asyncio.to_thread(shutil.rmtree, gone, ignore_errors=True)
        if count:
            _log.info("deleted models that nothing uses", extra=log_fields(count=count))
        return bool(count)


async def _fetch_into(
    model: ModelSource, partial: Path, progress: Progress, download: Download
) -> None:
    await asyncio.to_thread(_make_empty, partial)
    await download(model, partial, progress)
    _check(model, partial)


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=_FOLDER_MODE)


def _name_of(model: ModelSource) -> str:
    parts = (model.registry, model.uri, model.name, model.version, model.location, model.digest)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_NAME_DIGITS]


def _check(model: ModelSource, files: Path) -> None:
    file = files / "MLmodel"
    if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != model.digest:
        raise FetchFailed(
            f"The files of version {model.version} of model {model.name} are not those that were "
            "there when the configuration was made; register them as a new version, and serve that."
        )


def _is_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__
    return False


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield Path(parent) / name


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in _walk(folder) if not path.is_dir())


def _let_all_read(folder: Path) -> None:
    """Let the users that replicas run as read the files, and nobody change them."""
    folder.chmod(_FOLDER_MODE)
    for path in _walk(folder):
        if not path.is_symlink():
            path.chmod(_FOLDER_MODE if path.is_dir() else _FILE_MODE)
