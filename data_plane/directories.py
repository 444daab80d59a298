"""Directories of one process each, locked for as long as it lives.

Whose lock is free belonged to a process that is dead: whoever finds it takes it over. Used by the
journals of usage (`usage/`) and of payloads (`payloads/`, `tables/`).
"""

import fcntl
import os
from dataclasses import dataclass, field
from pathlib import Path

ID_BYTES = 8

_LOCK = "lock"
_OWNER_ONLY_DIRECTORY = 0o700
_OWNER_ONLY = 0o600


@dataclass(slots=True)
class DeadDirectory:
    """The directory of a process that is dead, held by this one.

    Attributes:
        id: Its identifier.
        path: Where it is.
    """

    id: bytes
    path: Path
    lock: int = field(repr=False)

    def files(self) -> list[Path]:
        """Return its files, the oldest first."""
        return files_in(self.path)

    def remove(self) -> None:
        """Delete it."""
        for path in self.files():
            path.unlink()
        remove(self.path)
        self.release()

    def release(self) -> None:
        """Leave it to others."""
        os.close(self.lock)


def files_in(path: Path) -> list[Path]:
    """Return the files of a directory but for its lock, by name."""
    return sorted(file for file in path.iterdir() if file.name != _LOCK)


def take_over(root: Path) -> DeadDirectory | None:
    """Return a directory under `root` whose process is dead, if there is one."""
    for path in sorted(root.iterdir()):
        try:
            identifier = bytes.fromhex(path.name)
            lock = os.open(path / _LOCK, os.O_RDWR)
        except (OSError, ValueError):
            continue
        # The one who had the lock before may have removed the directory.
        if len(identifier) == ID_BYTES and try_lock(lock) and os.fstat(lock).st_nlink:
            return DeadDirectory(identifier, path, lock)
        os.close(lock)
    return None


def make_locked(root: Path, path: Path) -> int:
    """Make a directory that is locked from the moment on which others can see it.

    Returns:
        The descriptor that holds the lock.
    """
    hidden = root / f".{path.name}"
    hidden.mkdir(mode=_OWNER_ONLY_DIRECTORY)
    lock = os.open(hidden / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    hidden.rename(path)
    return lock


def try_lock(descriptor: int) -> bool:
    """Lock an open file, unless another process has it; return whether it is locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def remove(path: Path) -> None:
    """Delete a directory that has nothing but its lock."""
    (path / _LOCK).unlink(missing_ok=True)
    path.rmdir()
