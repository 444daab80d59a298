"""Models in folders of this machine: used by `directory`, and by others beside their server.

A folder may be written by others than the operator, so that links out of it are refused.
"""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from modelplane.adapters.registries.base import (
    MAX_DEPTH,
    MAX_FILES,
    MAX_MLMODEL_BYTES,
    MLMODEL,
    ModelUnusable,
    Progress,
    RegistryUnavailable,
    long_mlmodel,
    without_mlmodel,
)


async def read_mlmodel(folder: Path) -> bytes:
    """Return the `MLmodel` file of a folder.

    Raises:
        ModelUnusable: There is none, or it is too long.
        RegistryUnavailable: It cannot be read.
    """
    return await asyncio.to_thread(_read, folder)


async def copy_folder(
    folder: Path, into: Path, progress: Progress, *, suffix: str | tuple[str, ...] = ""
) -> None:
    """Copy all files of a folder into an empty one.

    Args:
        folder: The folder.
        into: The empty one.
        progress: Told how far it is.
        suffix: What the names of those files end with that are wanted, or one of what they do.

    Raises:
        ModelUnusable: It has too many files, or links to outside of it.
        RegistryUnavailable: One cannot be read, or written.
    """
    loop = asyncio.get_running_loop()

    def tell(done: int, total: int) -> None:
        loop.call_soon_threadsafe(progress, done, total)

    await asyncio.to_thread(_copy, folder, into, tell, suffix)


def _read(folder: Path) -> bytes:
    file = folder / MLMODEL
    _require_inside(file, folder)
    if not file.is_file():
        raise without_mlmodel()
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_MLMODEL_BYTES + 1)
    except OSError as error:
        raise _unreadable(error) from error
    if len(content) > MAX_MLMODEL_BYTES:
        raise long_mlmodel()
    return content


def _copy(folder: Path, into: Path, tell: Progress, suffix: str | tuple[str, ...]) -> None:
    try:
        files = [file for file in _files_in(folder, folder, 0) if file.name.endswith(suffix)]
        total = sum(file.stat().st_size for file in files)
        done = 0
        for file in files:
            target = into / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
            done += target.stat().st_size
            tell(done, total)
    except OSError as error:
        raise _unreadable(error) from error


def _files_in(folder: Path, top: Path, depth: int) -> Iterator[Path]:
    count = 0
    if depth > MAX_DEPTH:
        raise ModelUnusable(f"Its folders are nested deeper than {MAX_DEPTH}.")
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = folder / entry.name
        _require_inside(path, top)
        found = _files_in(path, top, depth + 1) if entry.is_dir() else iter([path])
        for file in found:
            count += 1
            if count > MAX_FILES:
                raise ModelUnusable(f"It has more than {MAX_FILES} files.")
            yield file


def _require_inside(path: Path, folder: Path) -> None:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ModelUnusable(
            f"'{path.name}' is a link to outside of the model's folder; put the file itself there."
        )


def _unreadable(error: OSError) -> RegistryUnavailable:
    return RegistryUnavailable(
        f"The model's files cannot be read ({type(error).__name__}); ask the operator."
    )
