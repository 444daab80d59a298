"""What a process with a user of its own has to see, though it lies where no other user may go.

The data directory of a deployment is for its owner alone, and so is often a home with a Python in
it. `enter.py` puts empty folders over those, for that process alone, and shows what it needs there
and nothing else. Used by `orders.py`.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_MAX_LINKS = 40


def views(paths: Iterable[Path]) -> list[tuple[str, list[str]]]:
    """Return the folders to cover, each with what is shown below it.

    Args:
        paths: What the process needs: files and folders.
    """
    hidden = {path: folder for path in paths if (folder := hidden_part(path))}
    found: dict[Path, list[str]] = {}
    for path, folder in sorted(hidden.items()):
        # What lies in what is shown is seen with it; shown by itself, it could not be linked to it.
        if hidden.keys().isdisjoint(path.parents):
            found.setdefault(folder, []).append(str(path))
    return [(str(folder), shown) for folder, shown in found.items()]


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
