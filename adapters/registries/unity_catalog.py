"""An open-source Unity Catalog server as a registry, over its REST API.

https://github.com/unitycatalog/unitycatalog/blob/main/api/all.yaml. The server hands out no files:
they are in a folder, where it is on this machine, or in S3, for which it gives credentials of an
hour. See `base`. After: `calls`, `servers`, `folders`, `s3`.
"""

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from modelserving.launcher.v1.launcher_service_pb2 import ModelSource

from modelplane.adapters.registries import folders
from modelplane.adapters.registries.base import (
    ALIAS,
    ModelNotFound,
    ModelUnusable,
    Progress,
    check_digest,
)
from modelplane.adapters.registries.calls import RegistryCalls, authorization_header
from modelplane.adapters.registries.servers import parse_address

if TYPE_CHECKING:
    from modelplane.adapters.registries.s3 import S3Folder

KIND = "unity-catalog"
_API = "/api/2.1/unity-catalog"
_READY = "READY"
_S3 = ("s3", "s3a")
_NAME = re.compile(r"[^./\s]{1,255}(\.[^./\s]{1,255}){2}")
# Versions are 64-bit integers from 1.
_VERSION = re.compile(r"[1-9][0-9]{0,17}")


class UnityCatalogRegistry:
    """Models of an open-source Unity Catalog server.

    Args:
        uri: Address of the server, `http` or `https`.
        authorization: Its credential, as in `ModelSource`; empty: none.

    Raises:
        ValueError: One of them is malformed.
    """

    def __init__(self, uri: str, authorization: str) -> None:
        self._server = parse_address(uri, "a Unity Catalog server")
        self._headers = authorization_header(authorization)

    async def version(self, name: str, version: str) -> ModelSource:
        """Return where a version is; see `Registry`."""
        _check_named(name, version)
        url = f"{self._url}/models/{quote(name, safe='')}/versions/{version}"
        async with RegistryCalls(self._headers) as calls:
            found = await calls.ask(url, {})
        if (status := found.get("status")) != _READY:
            raise ModelUnusable(
                f"Version {version} of model '{name}' is {status}; wait until it is READY, or "
                "register it again."
            )
        location = str(found.get("storage_location") or "")
        self._require_reachable(location)
        return ModelSource(
            registry=KIND, uri=self._server.uri, name=name, version=version, location=location
        )

    async def read_mlmodel(self, source: ModelSource) -> bytes:
        """Return the `MLmodel` file of a version; see `Registry`."""
        if folder := self._server.folder_at(source.location):
            return await folders.read_mlmodel(folder)
        return await (await self._s3_folder(source)).read_mlmodel()

    async def download(self, source: ModelSource, into: Path, progress: Progress) -> None:
        """Fetch all files of a version; see `Registry`."""
        if folder := self._server.folder_at(source.location):
            await folders.copy_folder(folder, into, progress)
        else:
            await (await self._s3_folder(source)).download(into, progress)
        check_digest(source, into)

    @property
    def _url(self) -> str:
        return self._server.uri + _API

    def _require_reachable(self, location: str) -> None:
        """Check that files can be had from a place.

        Raises:
            ModelUnusable: They cannot.
        """
        scheme = urlsplit(location).scheme
        if scheme in _S3 or self._server.folder_at(location) is not None:
            return
        raise ModelUnusable(
            f"Its files are in a store ({scheme or 'a folder'}) that this deployment cannot read: "
            "of Unity Catalog it reads those in S3, and those in folders where the server is on "
            "this machine. Register the model in a catalog whose storage is one of them."
        )

    async def _s3_folder(self, source: ModelSource) -> "S3Folder":
        self._require_reachable(source.location)
        catalog, schema, model = source.name.split(".")
        asked = {
            "catalog_name": catalog,
            "schema_name": schema,
            "model_name": model,
            "version": int(source.version),
            "operation": "READ_MODEL_VERSION",
        }
        async with RegistryCalls(self._headers) as calls:
            answer = await calls.ask(f"{self._url}/temporary-model-version-credentials", {}, asked)
        given = answer.get("aws_temp_credentials")
        if not isinstance(given, dict):
            raise ModelUnusable(
                "Its files are in S3, for which the model registry gives no credential; let the "
                "operator configure the bucket in the Unity Catalog server."
            )
        build = await asyncio.to_thread(_import_s3)
        return build(source.location, {key: str(value) for key, value in given.items()})


def _check_named(name: str, version: str) -> None:
    if not _NAME.fullmatch(name):
        raise ModelNotFound(
            f"Registered model '{name[:100]}' does not exist: the names of Unity Catalog have "
            "three parts, CATALOG.SCHEMA.MODEL."
        )
    if version.startswith(ALIAS):
        raise ModelUnusable(
            f"'{version[:100]}' is an alias, and the open-source Unity Catalog server has none; "
            "name the version by its number."
        )
    if not _VERSION.fullmatch(version):
        raise ModelNotFound(
            f"Model '{name}' has no version {version[:100]}: those of Unity Catalog are numbers."
        )


def _import_s3() -> "type[S3Folder]":
    # AWS's client takes a second to import, which only those wait for whose files are there.
    from modelplane.adapters.registries.s3 import S3Folder  # noqa: PLC0415

    return S3Folder
