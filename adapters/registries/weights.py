"""Weights that no registry has: of an installed package, in a directory of the launcher, or in S3.

They have no `MLmodel` file of their own. What it would say is written by `foundation_model`, told
to the launcher as the source's `location`, and put beside the weights. See `base`.
"""

import asyncio
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from modelserving.launcher.v1.launcher_service_pb2 import ModelSource

from modelplane.adapters.registries import folders
from modelplane.adapters.registries.base import (
    MLMODEL,
    ModelNotFound,
    ModelUnusable,
    Progress,
    check_digest,
)

if TYPE_CHECKING:
    from modelplane.adapters.registries.s3 import S3Folder

KIND = "weights"
_PACKAGE, _DIRECTORY, _S3, _WHEEL = "package", "directory", "s3", "wheel"
_PATH = re.compile(r"/[^\0]*")
_BUCKET = re.compile(r"//[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?")
_OF_INDEX = re.compile(
    r"(?P<name>[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9])?)==(?P<version>[a-z0-9][a-z0-9.+!-]{0,63})"
    r"#sha256:(?P<digest>[0-9a-f]{64})"
)
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# Where weights in safetensors are put, with their configuration and tokenizer.
TRANSFORMERS_FOLDER = "model"
_SUFFIX = ".gguf"
_SAFETENSORS = ".safetensors"
# What is copied, by what of it must be there.
_WANTED = {_SUFFIX: (_SUFFIX,), _SAFETENSORS: (_SAFETENSORS, ".json", ".txt", ".jinja")}


def check_weights(weights: str) -> None:
    """Check where weights are said to be.

    Raises:
        ValueError: It is no place.
    """
    kind, _, place = weights.partition(":")
    forms = {_PACKAGE: _MODULE, _DIRECTORY: _PATH, _S3: _BUCKET, _WHEEL: _OF_INDEX}
    if kind not in forms or not forms[kind].fullmatch(place):
        raise ValueError(
            "weights must be package:MODULE, wheel:NAME==VERSION#sha256:DIGEST, directory:/PATH or "
            "s3://BUCKET/PREFIX"
        )


def parse_wheel(source: ModelSource) -> tuple[str, str, str] | None:
    """Return name, version and digest of the package that has the weights, on a package index.

    None: they are elsewhere.
    """
    kind, _, place = source.uri.partition(":")
    if (source.registry, kind) != (KIND, _WHEEL) or not (found := _OF_INDEX.fullmatch(place)):
        return None
    return found["name"], found["version"], found["digest"]


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
        from modelplane.adapters.registries.mlmodel import parse_mlmodel  # noqa: PLC0415 - it takes long to import, and not all that name a model read one

        target, suffix = into, _SUFFIX
        if parse_mlmodel(source.location.encode()).transformer.has_weights:
            target, suffix = into / TRANSFORMERS_FOLDER, _SAFETENSORS
        kind, _, place = source.uri.partition(":")
        if kind == _S3:
            await _import_s3()(source.uri, {}).download(target, progress, suffix=_WANTED[suffix])
        else:
            folder = Path(place) if kind == _DIRECTORY else await asyncio.to_thread(_find, place)
            if suffix == _SAFETENSORS:
                folder = await asyncio.to_thread(_with_safetensors, folder)
            await folders.copy_folder(folder, target, progress, suffix=_WANTED[suffix])
        if not any(target.rglob(f"*{suffix}")):
            raise ModelNotFound(
                f"There are no files {suffix} where the model's weights are said to be; ask the "
                "operator."
            )
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


def _import_s3() -> "type[S3Folder]":
    # AWS's client takes a second to import, which only those wait for whose files are there.
    from modelplane.adapters.registries.s3 import S3Folder  # noqa: PLC0415

    return S3Folder
