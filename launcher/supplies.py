"""Where models and their environments come from, as what runs replicas wants them.

Both are imported when the first model is to run: a launcher that runs none stays small.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelserving.launcher.v1.launcher_service_pb2 import ModelSource

from modelplane.adapters.shared.settings import environment
from modelplane.launcher.artifacts.cache import FetchFailed, Progress
from modelplane.launcher.engines.base import Build, EngineUnfit, Environment
from modelplane.launcher.local.users import Users


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


def builder(folder: Path, users: Users, fetcher: int) -> Build:
    """Return what builds environments, and keeps them in a directory.

    Args:
        folder: The directory.
        users: Users that replicas run as, and builds.
        fetcher: User that fetches packages, where those are others than this process's.
    """
    environments: Any = None

    async def build(model: Path, log: Callable[[str], None]) -> Environment:
        nonlocal environments
        from modelplane.launcher.environments.cache import (  # noqa: PLC0415
            Environments,
            Options,
        )
        from modelplane.launcher.environments.failures import (  # noqa: PLC0415
            EnvironmentFailed,
        )
        from modelplane.launcher.local.builds import BuildUsers  # noqa: PLC0415

        if environments is None:
            sandbox = BuildUsers(users, fetcher) if users.separate else None
            options = Options(environment(), shared=users.separate, sandbox=sandbox)
            environments = Environments(folder, options)
        try:
            held: Environment = await environments.hold(model, log)
        except EnvironmentFailed as error:
            raise EngineUnfit(str(error)) from error
        return held

    return build
