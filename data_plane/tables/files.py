"""Files that survive whatever ends the process, and are there whole or not at all."""

import os
from pathlib import Path

_OWNER_ONLY = 0o600


def write_durably(path: Path, data: bytes) -> None:
    """Write a file, in place of an older one; on return it survives a crash of the machine.

    Raises:
        OSError: The disk does not take it.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Let the names in a directory survive a crash of the machine.

    Raises:
        OSError: The disk does not take it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
