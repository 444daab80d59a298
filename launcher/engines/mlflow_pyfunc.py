"""Python functions that MLflow has saved, each in the environment that it asks for."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from modelserving.launcher.v1.launcher_service_pb2 import GroupSpec

from modelplane.launcher.engines.base import NO_VARIABLES, Build, Converting, Log, Prepared

NAME = "mlflow_pyfunc"


class MlflowPyfunc:
    """Serves Python functions.

    Args:
        build: Builds environments.
    """

    with_gpus = without_gpus = True

    def __init__(self, build: Build) -> None:
        self._build = build

    async def prepare(
        self, files: Path, spec: GroupSpec, log: Log, converting: Converting
    ) -> Prepared:
        """Build the model's environment, or find it.

        Raises:
            EngineUnfit: It cannot be built.
        """
        del spec, converting
        environment = await self._build(files, log)
        return Prepared(environment.python, files, environment.release)

    def options(self, spec: GroupSpec) -> Sequence[str]:
        """Return none: this is what the server does unless it is told otherwise."""
        del spec
        return ()

    def variables(self, spec: GroupSpec) -> Mapping[str, str]:
        """Return none."""
        del spec
        return NO_VARIABLES
