"""An MLflow tracking server as a registry, over its REST API alone.

https://mlflow.org/docs/latest/api_reference/rest-api.html. The files come from the server, which
hands out those of any store (`mlflow-artifacts:`); a server on this machine may also name a folder.
See `base`. After: `calls`, `servers`, `mlflow_artifacts`, `folders`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

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
from modelplane.adapters.registries.mlflow_artifacts import MlflowArtifacts
from modelplane.adapters.registries.servers import parse_address

KIND = "mlflow"
_API = "/api/2.0/mlflow"
_READY = "READY"
_PROXIED = "mlflow-artifacts"
_MAX_NAME = 256


class MlflowRegistry:
    """Models of an MLflow server.

    Args:
        uri: Address of the server, `http` or `https`.
        authorization: Its credential, as in `ModelSource`; empty: none.

    Raises:
        ValueError: One of them is malformed.
    """

    def __init__(self, uri: str, authorization: str) -> None:
        self._server = parse_address(uri, "an MLflow server")
        self._uri = self._server.uri
        self._headers = authorization_header(authorization)

    async def version(self, name: str, version: str) -> ModelSource:
        """Return where a version is; see `Registry`."""
        if not 0 < len(name) <= _MAX_NAME:
            raise ModelNotFound(f"Registered model '{name[:100]}' does not exist.")
        async with RegistryCalls(self._headers) as calls:
            found = await self._find(calls, name, version)
            number = str(found.get("version"))
            if (status := found.get("status")) != _READY:
                why = f": {found['status_message']}" if found.get("status_message") else ""
                raise ModelUnusable(
                    f"Version {number} of model '{name}' is {status}{why}; wait until it is READY."
                )
            named = {"name": name, "version": number}
            answer = await calls.ask(f"{self._uri}{_API}/model-versions/get-download-uri", named)
        location = str(answer.get("artifact_uri") or "")
        self._require_reachable(location)
        return ModelSource(
            registry=KIND, uri=self._uri, name=name, version=number, location=location
        )

    async def read_mlmodel(self, source: ModelSource) -> bytes:
        """Return the `MLmodel` file of a version; see `Registry`."""
        if folder := self._server.folder_at(source.location):
            return await folders.read_mlmodel(folder)
        async with RegistryCalls(self._headers) as calls:
            return await self._artifacts(calls, source).read_mlmodel()

    async def download(self, source: ModelSource, into: Path, progress: Progress) -> None:
        """Fetch all files of a version; see `Registry`."""
        if folder := self._server.folder_at(source.location):
            await folders.copy_folder(folder, into, progress)
        else:
            async with RegistryCalls(self._headers) as calls:
                await self._artifacts(calls, source).download(into, progress)
        check_digest(source, into)

    async def _find(self, calls: RegistryCalls, name: str, version: str) -> Mapping[str, Any]:
        if version.startswith(ALIAS):
            alias = version.removeprefix(ALIAS)
            path, query = "registered-models/alias", {"name": name, "alias": alias}
            missing = f"Model '{name}' has no alias '{alias}'."
        else:
            path, query = "model-versions/get", {"name": name, "version": version}
            missing = f"Model '{name}' has no version {version}."
        try:
            answer = await calls.ask(f"{self._uri}{_API}/{path}", query)
        except ModelNotFound:
            # The server does not say whether there is a model of that name at all.
            await self._require_model(calls, name)
            raise ModelNotFound(missing) from None
        found = answer.get("model_version")
        if not isinstance(found, dict):
            raise ModelNotFound(missing)
        return found

    async def _require_model(self, calls: RegistryCalls, name: str) -> None:
        try:
            await calls.ask(f"{self._uri}{_API}/registered-models/get", {"name": name})
        except ModelNotFound:
            raise ModelNotFound(f"Registered model '{name}' does not exist.") from None

    def _require_reachable(self, location: str) -> None:
        """Check that files can be had from a place.

        Raises:
            ModelUnusable: They cannot.
        """
        parts = urlsplit(location)
        if parts.scheme == _PROXIED and parts.hostname in (None, self._server.host):
            return
        if self._server.folder_at(location) is None:
            raise ModelUnusable(
                f"Its files are in a store ({parts.scheme or 'a folder'}) that the model registry "
                "does not hand out; let the operator run the MLflow server with --serve-artifacts, "
                "and register the model again."
            )

    def _artifacts(self, calls: RegistryCalls, source: ModelSource) -> MlflowArtifacts:
        self._require_reachable(source.location)
        return MlflowArtifacts(calls, self._uri, unquote(urlsplit(source.location).path))
