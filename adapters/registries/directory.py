"""A registry that is a directory: `DIR/NAME/VERSION/MLmodel`, and the model's other files there.

`DIR/NAME/@ALIAS` is a link to one of the versions. See `base`; `folders` reads the files.
"""

import asyncio
import re
from pathlib import Path

from modelserving.launcher.v1.launcher_service_pb2 import ModelSource

from modelplane.adapters.registries import folders
from modelplane.adapters.registries.base import (
    ALIAS,
    ModelNotFound,
    ModelUnusable,
    Progress,
    RegistryUnavailable,
    check_digest,
)

KIND = "directory"
# One part of a path, and none that leads elsewhere.
_NAME = re.compile(r"(?!\.)[^/\\:\x00-\x1f\x7f]{1,200}")


class DirectoryRegistry:
    """Models in a directory that the control plane and the launchers have.

    Args:
        uri: The directory.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._root = Path(uri)

    async def version(self, name: str, version: str) -> ModelSource:
        """Return where a version is; see `Registry`."""
        if not (_NAME.fullmatch(name) and _NAME.fullmatch(version)):
            raise ModelNotFound(f"There is no version {version[:100]} of model '{name[:100]}'.")
        found = await asyncio.to_thread(self._find, name, version)
        return ModelSource(
            registry=KIND, uri=self._uri, name=name, version=found, location=f"{name}/{found}"
        )

    async def read_mlmodel(self, source: ModelSource) -> bytes:
        """Return the `MLmodel` file of a version; see `Registry`."""
        return await folders.read_mlmodel(self._folder(source))

    async def download(self, source: ModelSource, into: Path, progress: Progress) -> None:
        """Copy all files of a version; see `Registry`."""
        await folders.copy_folder(self._folder(source), into, progress)
        check_digest(source, into)

    def _find(self, name: str, version: str) -> str:
        if not self._root.is_dir():
            raise RegistryUnavailable("The directory of the models is not there; ask the operator.")
        model = self._root / name
        if not model.is_dir():
            raise ModelNotFound(f"Registered model '{name}' does not exist.")
        folder = model / version
        if not version.startswith(ALIAS):
            if not folder.is_dir():
                raise ModelNotFound(f"Model '{name}' has no version {version}.")
            return version
        if not folder.is_symlink() or not folder.is_dir():
            raise ModelNotFound(f"Model '{name}' has no alias '{version.removeprefix(ALIAS)}'.")
        target = folder.resolve()
        if target.parent != model.resolve():
            raise ModelUnusable(
                f"Alias '{version.removeprefix(ALIAS)}' of model '{name}' leads to no version of "
                "it; let the link name one."
            )
        return target.name

    def _folder(self, source: ModelSource) -> Path:
        if not (_NAME.fullmatch(source.name) and _NAME.fullmatch(source.version)):
            raise ModelNotFound("The model's name is none of a directory.")
        return self._root / source.name / source.version
