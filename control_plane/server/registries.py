"""The registry of the models that are hosted here, and what their replicas may use.

What asks a registry is loaded where there is one. Before: `api`, `hosting`. After:
`hosting.pinning`, `adapters.registries`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from modelplane.adapters.registries.catalogue import Catalogue, read_catalogue
from modelplane.control_plane.hosting.measurements import Measurements
from modelplane.control_plane.hosting.pinning import Pinning
from modelplane.control_plane.hosting.workloads import (
    DEFAULT_WORKLOADS,
    Workloads,
    parse_workloads,
)
from modelplane.control_plane.settings import Settings

if TYPE_CHECKING:
    from modelplane.adapters.registries.base import Registry
    from modelplane.adapters.registries.kinds import RegistryPlace


def build_pinning(settings: Settings, catalogue: Catalogue, measurements: Measurements) -> Pinning:
    """Return what finds out what hosted models are.

    Args:
        settings: Settings in force.
        catalogue: The foundation models that there are.
        measurements: What models were measured to do.

    Raises:
        ValueError: A setting is malformed, or the file that it names.
    """
    workloads = _read_workloads(settings.workload_types)
    return Pinning(_open_registry(settings), workloads, catalogue, measurements=measurements)


def registry_place(settings: Settings) -> "RegistryPlace | None":
    """Return where the deployment's registry is; None: it has none.

    Raises:
        ValueError: A setting is malformed.
    """
    if not settings.registry:
        return None
    from modelplane.adapters.registries.kinds import parse_place  # noqa: PLC0415 - see above

    try:
        return parse_place(settings.registry, settings.registry_authorization)
    except ValueError as error:
        raise ValueError(f"MODELPLANE_REGISTRY: {error}") from None


def _open_registry(settings: Settings) -> "Registry | None":
    if (place := registry_place(settings)) is None:
        return None
    from modelplane.adapters.registries.kinds import open_registry  # noqa: PLC0415 - see above

    return open_registry(place)


def build_catalogue(settings: Settings) -> Catalogue:
    """Return the deployment's foundation models.

    Raises:
        ValueError: A file that the setting names cannot be read, or is malformed.
    """
    try:
        return read_catalogue(settings.foundation_models)
    except (OSError, ValueError) as error:
        raise ValueError(f"MODELPLANE_FOUNDATION_MODELS: {error}") from None


def _read_workloads(file: str) -> Workloads:
    if not file:
        return DEFAULT_WORKLOADS
    try:
        return parse_workloads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"MODELPLANE_WORKLOAD_TYPES: {file}: {error}") from None
