"""Secrets in files, as Kubernetes mounts them: a directory for the scope, a file for each key.

A newline at the end is not part of the secret. See `base`.
"""

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path

from modelplane.control_plane.secrets.stores.base import StoreAway


class FileStore:
    """Reads the files anew each time."""

    backend = "FILES"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def read(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Return the values of those `keys` that exist.

        Raises:
            StoreAway: The directory or a file cannot be read.
        """
        return await asyncio.to_thread(self._read, keys)

    async def list_keys(self) -> list[str]:
        """Return all keys.

        Raises:
            StoreAway: The directory cannot be read.
        """
        return await asyncio.to_thread(self._list)

    def _read(self, keys: Collection[str]) -> dict[str, bytes]:
        present = set(keys).intersection(self._list())
        try:
            return {
                key: (self._directory / key).read_bytes().removesuffix(b"\n").removesuffix(b"\r")
                for key in present
            }
        except OSError as error:
            raise _away(error) from error

    def _list(self) -> list[str]:
        try:
            # Kubernetes keeps its own entries in names that begin with a dot.
            return [
                path.name
                for path in self._directory.iterdir()
                if not path.name.startswith(".") and path.is_file()
            ]
        except OSError as error:
            raise _away(error) from error


def _away(error: OSError) -> StoreAway:
    return StoreAway(f"{error.filename}: {error.strerror}")
