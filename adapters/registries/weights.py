"""Weights that no registry has: of an installed package, or in a directory of the launcher.

They have no `MLmodel` file of their own. What it would say is written by `foundation_model`, told
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
from modelplane.adapters.registries.mlmodel import parse_mlmodel

KIND = "weights"
_PACKAGE, _DIRECTORY = "package", "directory"
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# Where weights in safetensors are put, with their configuration and tokenizer.
TRANSFORMERS_FOLDER = "model"
_SUFFIX = ".gguf"
_SAFETENSORS = ".safetensors"
_OF_TRANSFORMERS = (_SAFETENSORS, ".json", ".txt", ".jinja")


def check_weights(weights: str) -> None:
    """Check where weights are said to be.

    Raises:
        ValueError: It is no place.
    """
    kind, _, place = weights.partition(":")
    is_module = kind == _PACKAGE and _MODULE.fullmatch(place)
    if not is_module and not (kind == _DIRECTORY and place.startswith("/")):
        raise ValueError("weights must be package:MODULE or directory:/PATH")


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
        if parse_mlmodel(source.location.encode()).transformer.has_weights:
            folder = await asyncio.to_thread(_with_safetensors, folder)
            target = into / TRANSFORMERS_FOLDER
            await folders.copy_folder(folder, target, progress, suffix=_OF_TRANSFORMERS)
        else:
            await folders.copy_folder(folder, into, progress, suffix=_SUFFIX)
        (into / MLMODEL).write_bytes(source.location.encode())
        check_digest(source, into)


def _with_safetensors(folder: Path) -> Path:
    """Return the only folder with weights in safetensors, this one or one below."""
    found = {file.parent for file in folder.rglob(f"*{_SAFETENSORS}")}
    if len(found) != 1:
        raise ModelUnusable(
            f"The model's weights are said to be in safetensors, and are in {len(found)} folders "
            "there; ask the operator."
        )
    return found.pop()


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
