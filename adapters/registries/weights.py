"""Weights that no registry has: of an installed package, or in a directory of the launcher.

They have no `MLmodel` file of their own. What it would say is written for `foundation_model`, told
to the launcher as the source's `location`, and put beside the weights. See `base`.
"""

import asyncio
import re
from importlib.util import find_spec
from pathlib import Path

from modelserving.launcher.v1.launcher_service_pb2 import ModelSource

from modelplane.adapters.registries import folders
from modelplane.adapters.registries.base import (
    MLMODEL,
    ModelNotFound,
    ModelUnusable,
    Progress,
    check_digest,
)

KIND = "weights"
_PACKAGE, _DIRECTORY = "package", "directory"
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SUFFIX = ".gguf"


def check_weights(weights: str) -> None:
    """Check where weights are said to be.

    Raises:
        ValueError: It is no place.
    """
    kind, _, place = weights.partition(":")
    is_module = kind == _PACKAGE and _MODULE.fullmatch(place)
    if not is_module and not (kind == _DIRECTORY and place.startswith("/")):
        raise ValueError("weights must be package:MODULE or directory:/PATH")


def mlmodel_of(
    weights: str, *, task: str, context_tokens: int, normalized: bool, dimensions: int
) -> str:
    """Return the `MLmodel` file of weights: which they are, and what they do."""
    told = f"  dimensions: {dimensions}\n" if dimensions else ""
    return (
        f"flavors:\n  gguf: {{}}\nmetadata:\n  context_tokens: {context_tokens}\n{told}"
        f"  normalized: {str(normalized).lower()}\n"
        f"  task: {task}\n  weights: '{weights.replace(chr(39), chr(39) * 2)}'\n"
    )


class Weights:
    """Weights by the place that a source's `uri` names."""

    async def version(self, name: str, version: str) -> ModelSource:
        """Refuse: names are the catalogue's matter."""
        raise ModelNotFound(f"There is no version {version[:100]} of model '{name[:100]}'.")

    async def read_mlmodel(self, source: ModelSource) -> bytes:
        """Return the `MLmodel` file; see `Registry`."""
        return source.location.encode()

    async def download(self, source: ModelSource, into: Path, progress: Progress) -> None:
        """Copy the weights; see `Registry`."""
        kind, _, place = source.uri.partition(":")
        folder = Path(place) if kind == _DIRECTORY else await asyncio.to_thread(_find, place)
        if not folder.is_dir():
            raise ModelNotFound("The model's weights are not there; ask the operator.")
        await folders.copy_folder(folder, into, progress, suffix=_SUFFIX)
        (into / MLMODEL).write_bytes(source.location.encode())
        check_digest(source, into)


def _find(module: str) -> Path:
    """Return the folder of an installed package, which is found and never imported."""
    if not _MODULE.fullmatch(module):
        raise ModelUnusable("The model's weights are said to be in what is no package.")
    spec = find_spec(module)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        return Path(folder)
    raise ModelNotFound(
        f"The model's weights are in package '{module}', which the launcher does not have; let the "
        "operator install it there."
    )
