"""The files of a model that an MLflow server hands out: listed by folder, fetched one by one.

https://mlflow.org/docs/latest/self-hosting/architecture/artifact-store/ (proxied access). Before:
`mlflow`. After: `calls`.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from modelplane.adapters.registries.base import (
    MAX_DEPTH,
    MAX_FILES,
    MAX_MLMODEL_BYTES,
    MLMODEL,
    ModelNotFound,
    ModelUnusable,
    Progress,
    RegistryUnavailable,
    long_mlmodel,
    plain_name,
    without_mlmodel,
)
from modelplane.adapters.registries.calls import RegistryCalls

_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
# Files that are fetched at a time.
_AT_A_TIME = 4


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    # None: the server does not know.
    size: int | None


class _Count:
    """Adds up what has been fetched."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total = total
        self._progress = progress
        self._done = 0

    def add(self, length: int) -> None:
        """Tell of more bytes."""
        self._done += length
        self._progress(self._done, self._total)


class MlflowArtifacts:
    """The folder of one model.

    Args:
        calls: Asks the server.
        server: Address of the server.
        root: Path of the folder in the server's store.
    """

    def __init__(self, calls: RegistryCalls, server: str, root: str) -> None:
        self._calls = calls
        self._url = server + _ARTIFACTS
        self._root = root.strip("/")

    async def read_mlmodel(self) -> bytes:
        """Return the `MLmodel` file; see `Registry`."""
        try:
            content = await self._calls.read(self._at(MLMODEL), {}, MAX_MLMODEL_BYTES)
        except ModelNotFound:
            raise without_mlmodel() from None
        if len(content) > MAX_MLMODEL_BYTES:
            raise long_mlmodel()
        return content

    async def download(self, into: Path, progress: Progress) -> None:
        """Fetch all files; see `Registry`."""
        files = [file async for file in self._list("", 0)]
        count = _Count(sum(file.size or 0 for file in files), progress)
        free = asyncio.Semaphore(_AT_A_TIME)

        async def fetch(file: _File) -> None:
            async with free:
                await self._fetch(file, into, count)

        try:
            async with asyncio.TaskGroup() as group:
                for file in files:
                    group.create_task(fetch(file))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def _list(self, folder: str, depth: int) -> AsyncGenerator[_File]:
        if depth > MAX_DEPTH:
            raise ModelUnusable(f"Its folders are nested deeper than {MAX_DEPTH}.")
        path = f"{self._root}/{folder}".rstrip("/")
        listed = (await self._calls.ask(self._url, {"path": path})).get("files", [])
        count = 0
        for item in listed if isinstance(listed, list) else ():
            name = plain_name(item.get("path") if isinstance(item, dict) else None)
            inner = f"{folder}/{name}".lstrip("/")
            if item.get("is_dir") is True:
                async with aclosing(self._list(inner, depth + 1)) as files:
                    async for file in files:
                        count += 1
                        yield file
            else:
                count += 1
                yield _File(inner, _size_of(item))
            if count > MAX_FILES:
                raise ModelUnusable(f"It has more than {MAX_FILES} files.")

    async def _fetch(self, file: _File, into: Path, count: _Count) -> None:
        target = into / file.path
        async with aclosing(self._calls.fetch(self._at(file.path), file.size)) as pieces:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as opened:
                    async for piece in pieces:
                        await asyncio.to_thread(opened.write, piece)
                        count.add(len(piece))
            except OSError as error:
                raise RegistryUnavailable(
                    f"The model's files cannot be written: {error.strerror}."
                ) from error

    def _at(self, path: str) -> str:
        return f"{self._url}/{quote(f'{self._root}/{path}')}"


def _size_of(item: Mapping[str, Any]) -> int | None:
    size = item.get("file_size")
    # Some clients of gRPC spell 64-bit numbers as text.
    if isinstance(size, str) and size.isdecimal():
        return int(size)
    return size if isinstance(size, int) else None
