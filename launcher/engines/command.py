"""Models that are served by a command of their own, each in the environment that it asks for."""

from collections.abc import Sequence
from pathlib import Path

from modelserving.launcher.v1.launcher_service_pb2 import GroupSpec

from modelplane.launcher.conversions.folder import ModelUnfit, read_metadata
from modelplane.launcher.engines.base import Converting, EngineUnfit, Log, Prepared
from modelplane.launcher.engines.mlflow_pyfunc import MlflowPyfunc

NAME = "command"
_MOST_CHARACTERS = 8192


class Command(MlflowPyfunc):
    """Serves models that say how (`metadata.entrypoint`), where the operator lets them."""

    async def prepare(
        self, files: Path, spec: GroupSpec, log: Log, converting: Converting
    ) -> Prepared:
        """Build the model's environment, or find it.

        Raises:
            EngineUnfit: It cannot be built, or the model has no command.
        """
        command = _read_command(files)
        built = await super().prepare(files, spec, log, converting)
        return Prepared(built.python, built.model, built.release, (f"--shell={command}",))

    def options(self, spec: GroupSpec) -> Sequence[str]:
        """Return what tells the server that there is a command."""
        del spec
        return ("--engine", NAME)


def _read_command(files: Path) -> str:
    try:
        command = read_metadata(files).get("entrypoint")
    except ModelUnfit as error:
        raise EngineUnfit(str(error)) from error
    if not isinstance(command, str) or not 0 < len(command) <= _MOST_CHARACTERS:
        raise EngineUnfit(
            "The model's metadata.entrypoint is no command, or has more than "
            f"{_MOST_CHARACTERS} characters; log the model again."
        )
    if "\0" in command:
        raise EngineUnfit("The model's metadata.entrypoint holds a NUL character; log it again.")
    return command
