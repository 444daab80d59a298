"""What every registry of models can do, and how it fails.

RegistryError
├── RegistryUnavailable   it does not answer, or not as it should; soon again
├── RegistryRefused       it does not accept the deployment's credential
├── ModelNotFound         it has no such model, version or alias
└── ModelUnusable         it has the version, which cannot be served as it is

The control plane asks for versions and what they are; a launcher, which is told the `ModelSource`,
fetches the files. After: `mlflow`, `unity_catalog`, `directory`. `kinds` opens them.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias

from modelserving.launcher.v1.launcher_service_pb2 import ModelSource

MLMODEL = "MLmodel"
MAX_MLMODEL_BYTES = 1024 * 1024
# More than any framework writes for one model.
MAX_FILES = 10_000
MAX_DEPTH = 32
# What begins with it names a version by an alias.
ALIAS = "@"
_PARENTS = {"", ".", ".."}
_SEPARATORS = frozenset("/\\\0")

# Told the bytes that have been fetched, and how many there are; 0: not known.
Progress: TypeAlias = Callable[[int, int], None]


class RegistryError(Exception):
    """Base of what a registry raises; the message is for whoever wants to serve the model."""


class RegistryUnavailable(RegistryError):
    """It does not answer, or not as it should."""


class RegistryRefused(RegistryError):
    """It does not accept the deployment's credential."""


class ModelNotFound(RegistryError):
    """It has no such model, version or alias."""


class ModelUnusable(RegistryError):
    """It has the version, which cannot be served as it is."""


class Registry(Protocol):
    """Knows models by name and version."""

    async def version(self, name: str, version: str) -> ModelSource:
        """Return where a version is, without a digest and the credential.

        Args:
            name: Name of the model.
            version: A version, or `@` and an alias, which is resolved to one.

        Raises:
            RegistryError: See the tree above.
        """

    async def read_mlmodel(self, source: ModelSource) -> bytes:
        """Return the `MLmodel` file of a version.

        Raises:
            RegistryError: See the tree above.
        """

    async def download(self, source: ModelSource, into: Path, progress: Progress) -> None:
        """Fetch all files of a version into an empty directory, nested folders included.

        Args:
            source: What `version` told, with the digest that the `MLmodel` file must have.
            into: The directory; when this fails, some files may be there.
            progress: Told how far it is.

        Raises:
            ModelUnusable: The files are not those of the digest.
            RegistryError: See the tree above.
        """


def digest_of(mlmodel: bytes) -> str:
    """Return the digest of an `MLmodel` file, SHA-256 in hexadecimal."""
    return hashlib.sha256(mlmodel).hexdigest()


def check_digest(source: ModelSource, into: Path) -> None:
    """Check that the files in a directory are those that were asked for.

    Raises:
        ModelUnusable: They are not.
    """
    file = into / MLMODEL
    if not file.is_file() or (source.digest and digest_of(file.read_bytes()) != source.digest):
        raise ModelUnusable(
            f"The files of version {source.version} of model '{source.name}' are no longer those "
            "that were there when the configuration was made; register them as a new version, and "
            "serve that."
        )


def plain_name(name: object) -> str:
    """Return the name of a listed file or folder, which is written here.

    Raises:
        ModelUnusable: It is not one part of a path.
    """
    if isinstance(name, str) and name not in _PARENTS and not _SEPARATORS.intersection(name):
        return name
    raise ModelUnusable("The model registry lists a file whose name cannot be used.")


def without_mlmodel() -> ModelUnusable:
    """Return the error for a version that is no model of MLflow's."""
    return ModelUnusable("It has no MLmodel file; log the model with MLflow, and register that.")


def long_mlmodel() -> ModelUnusable:
    """Return the error for a version whose `MLmodel` file is too long."""
    return ModelUnusable(
        f"Its MLmodel file is longer than {MAX_MLMODEL_BYTES} bytes; log the model without long "
        "metadata."
    )
