"""The kinds of registries: from a setting, or from a `ModelSource`, to the registry itself.

Before: the control plane's `server` and `hosting.specs`, the launcher's `supplies`. After:
`mlflow`, `unity_catalog`, `directory`, `weights`.
"""

from dataclasses import dataclass, field

from modelserving.launcher.v1.launcher_service_pb2 import ModelSource

from modelplane.adapters.registries import directory, mlflow, unity_catalog, weights
from modelplane.adapters.registries.base import Registry
from modelplane.adapters.registries.directory import DirectoryRegistry
from modelplane.adapters.registries.mlflow import MlflowRegistry
from modelplane.adapters.registries.unity_catalog import UnityCatalogRegistry
from modelplane.adapters.registries.weights import Weights


@dataclass(frozen=True, slots=True)
class RegistryPlace:
    """Where a registry is.

    Attributes:
        kind: `mlflow`, `unity-catalog` or `directory`.
        uri: Its address, or the directory.
        authorization: Credential, `bearer TOKEN` or `basic USER:PASSWORD`; empty: none.
    """

    kind: str
    uri: str
    authorization: str = field(default="", repr=False)

    def authorization_for(self, source: ModelSource) -> str:
        """Return the credential that fetches a version's files; empty: it is of another registry.

        A deployment may have had another one when the version was pinned, and one registry's
        credential is not for another's server.
        """
        is_here = source.registry == self.kind and source.uri.rstrip("/") == self.uri.rstrip("/")
        return self.authorization if is_here else ""


def parse_place(text: str, authorization: str = "") -> RegistryPlace | None:
    """Return the place that a setting names: its kind, a colon, and the address or the path.

    Args:
        text: The setting; empty: there is no registry.
        authorization: The credential.

    Raises:
        ValueError: It is none; the text says what it should be.
    """
    if not text:
        return None
    kind, _, uri = text.partition(":")
    place = RegistryPlace(kind, uri, authorization)
    if kind == weights.KIND:
        raise ValueError("weights without a registry are named by a catalogue")
    open_registry(place)
    return place


def open_registry(place: RegistryPlace) -> Registry:
    """Return the registry at a place.

    Raises:
        ValueError: The place is malformed, or of an unknown kind.
    """
    match place.kind:
        case mlflow.KIND:
            return MlflowRegistry(place.uri, place.authorization)
        case unity_catalog.KIND:
            return UnityCatalogRegistry(place.uri, place.authorization)
        case directory.KIND if place.uri:
            return DirectoryRegistry(place.uri)
        case weights.KIND if place.uri:
            return Weights()
    raise ValueError(
        "write the registry as `mlflow:http://HOST:PORT`, `unity-catalog:http://HOST:PORT` or "
        "`directory:/PATH`"
    )
