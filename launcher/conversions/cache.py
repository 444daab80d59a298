"""The converted models of this machine: made once, shared, kept while there is room.

They are kept as the models themselves are (`../artifacts/cache.py`), in a folder that is named by
the program which made them: a later release converts anew. Before: `local/preparation.py`.
"""

import asyncio
import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from modelserving.launcher.v1.launcher_service_pb2 import ModelSource

from modelplane.launcher.artifacts.cache import Artifacts, FetchFailed, Held
from modelplane.launcher.conversions.convert import PROGRAM, Converter, Progress
from modelplane.launcher.conversions.folder import read_folder
from modelplane.launcher.counts import Work
from modelplane.launcher.environments.build import Log, Sandbox
from modelplane.launcher.environments.cache import Environments
from modelplane.launcher.environments.requirements import read_locked

_DIGITS = 16
_PACKAGES = "packages.txt"
_MLMODEL = "MLmodel"


@dataclass(frozen=True, slots=True)
class Options:
    """How models are converted.

    Attributes:
        room: Bytes that those may take which nothing uses.
        seconds: How long one conversion may take.
        sandbox: Whom conversions run as; None: as this process.
        work: Counts them.
    """

    room: int
    seconds: float = 1800.0
    sandbox: Sandbox | None = None
    work: Work = field(default_factory=Work)


class Conversions:
    """The converted models that this machine has.

    Args:
        folder: Of theirs alone, readable by the users that conversions run as.
        environments: Has that of the program.
        options: How models are converted.
    """

    def __init__(
        self,
        folder: Path,
        environments: Environments,
        options: Options,
    ) -> None:
        self._environments = environments
        self._options = options
        self._program = folder / "program"
        digest = _digest(PROGRAM)
        for old in folder.iterdir() if folder.is_dir() else ():
            if old.name != digest:
                shutil.rmtree(old, ignore_errors=True)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROGRAM, self._program, ignore=ignored)
        # One at a time: each may need as much memory as the largest tensor of its model.
        self._kept = Artifacts(
            folder / digest, options.room, _without_fetching, at_once=1, work=options.work
        )

    async def hold(self, model: ModelSource, files: Path, progress: Progress, log: Log) -> Held:
        """Return the files of a converted model, `model.gguf` among them.

        Args:
            model: What to convert.
            files: Its own files, which stay meanwhile.
            progress: Told how far it is.
            log: Takes lines for the model's owner.

        Raises:
            ModelUnfit: It cannot be converted.
            FetchFailed: The disk is full.
            EnvironmentFailed: The program's environment cannot be had.
        """

        async def convert(_: ModelSource, into: Path, progress: Progress) -> None:
            await self._convert(files, into, progress, log)

        return await self._kept.hold(model, progress, convert)

    async def _convert(self, files: Path, into: Path, progress: Progress, log: Log) -> None:
        folder = await asyncio.to_thread(read_folder, files)
        packages = read_locked(self._program / _PACKAGES)
        environment = await self._environments.hold_packages(packages, log)
        try:
            log("Converting the model's weights for llama.cpp.")
            options = self._options
            converter = Converter(
                environment.python, self._program, options.seconds, options.sandbox
            )
            await converter.convert(folder, into, progress, log)
        finally:
            environment.release()
        shutil.copyfile(files / _MLMODEL, into / _MLMODEL)


def _digest(program: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(program.glob("*.*")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:_DIGITS]


async def _without_fetching(_: ModelSource, into: Path, __: Progress) -> None:
    raise FetchFailed(f"There is no converted model for {into.name}.")
