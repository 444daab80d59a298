"""Where models and their environments come from, as what runs replicas wants them.

Both are imported when the first model is to run: a launcher that runs none stays small.
"""

from collections.abc import Callable
from pathlib import Path

from modelserving.launcher.v1.launcher_service_pb2 import ModelSource

from modelplane.launcher.artifacts.cache import FetchFailed, Progress
from modelplane.launcher.local.preparation import Build, EnvironmentUnfit


async def download(model: ModelSource, into: Path, progress: Progress) -> None:
    """Fetch all files of a model from its registry into an empty directory.

    Raises:
        FetchFailed: The registry does not give them.
    """
    from modelplane.adapters.registries.base import RegistryError  # noqa: PLC0415 - see above
    from modelplane.adapters.registries.kinds import RegistryPlace, open_registry  # noqa: PLC0415

    place = RegistryPlace(model.registry, model.uri, model.authorization)
    try:
        await open_registry(place).download(model, into, progress)
    except (RegistryError, ValueError) as error:
        raise FetchFailed(str(error)) from error


def builder(cache: Path) -> Build:
    """Return what builds environments, and keeps them in a directory."""

    async def build(model: Path, log: Callable[[str], None]) -> Path:
        from modelplane.launcher.environments import EnvironmentFailed, ensure  # type: ignore[attr-defined] # noqa: PLC0415

        try:
            environment = await ensure(model, cache, log)
        except EnvironmentFailed as error:
            raise EnvironmentUnfit(str(error)) from error
        return Path(environment.python)

    return build
