"""What a process with a user of its own sees in the place of some folders.

The data directory of a deployment is for its owner alone, and so is often a home with a Python in
it: there it sees what it needs and nothing else. Folders in which everybody may write are its own.
`enter.py` puts these over the others, for that process alone. Used by `orders.py`.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_MAX_LINKS = 40
# Where all users may write: two that are on a disk, and the memory that programs share.
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - what is covered
_SHARED = Path("/dev/shm")  # noqa: S108 - likewise
_EMPTY = "mode=755,size=1m"
# As containers have it.
SHARED_BYTES = 64 << 20


class View(NamedTuple):
    """A folder that a process sees something else for.

    Attributes:
        folder: The folder.
        cover: The folder that it sees there; empty: one in memory.
        options: Of that in memory.
        shown: Files and folders that it sees there at their own paths.
    """

    folder: str
    cover: str
    options: str
    shown: list[str]


def views(
    paths: Iterable[Path], temporary: Path | None, shared_bytes: int = SHARED_BYTES
) -> list[View]:
    """Return what a process sees.

    Args:
        paths: What it needs: files and folders.
        temporary: A folder of its own, which it has for those where all users may write; None: it
            shares these with all.
        shared_bytes: Room for memory that its programs share.
    """
    found: dict[Path, View] = {}
    if temporary:
        found = {
            folder: View(str(folder), str(temporary), "", [])
            for folder in _TEMPORARY
            if folder.is_dir() and not folder.is_symlink()
        }
        if _SHARED.is_dir() and not _SHARED.is_symlink():
            found[_SHARED] = View(str(_SHARED), "", _open_to_all(shared_bytes), [])
    hidden: dict[Path, Path] = {}
    for path in paths:
        over = next((one for one in path.absolute().parents if one in found), None)
        if folder := over or hidden_part(path):
            hidden[path] = folder
    for path, folder in sorted(hidden.items()):
        # What lies in what is shown is seen with it; shown by itself, it could not be linked to it.
        if hidden.keys().isdisjoint(path.parents):
            found.setdefault(folder, View(str(folder), "", _EMPTY, [])).shown.append(str(path))
    # Where something is shown, places for it are made, as root: not in a folder of the process's.
    return [
        view._replace(cover="", options=_open_to_all(SHARED_BYTES))
        if view.cover and view.shown
        else view
        for view in found.values()
    ]


def _open_to_all(size: int) -> str:
    return f"mode=1777,size={size}"


def hidden_part(path: Path) -> Path | None:
    """Return the first folder on the way to a path that other users cannot pass; None: none."""
    for folder in reversed(path.absolute().parents):
        if not folder.stat().st_mode & 0o001:
            return folder
    return None


def parts_of_python(python: Path) -> Iterator[Path]:
    """Yield the folders that a Python needs: its environment, and what that is made from."""
    for _ in range(_MAX_LINKS):
        yield python.parent.parent
        if not python.is_symlink():
            break
        python = Path(os.path.normpath(python.parent / python.readlink()))
    yield python.resolve().parent.parent
