"""What an engine does: it makes a model ready once, and says how its replicas are started.

Whatever the engine, a replica is a process of `../model_server`, which listens on a port, says so
once, asks for its token, says when it is full and ends when told. An engine chooses the Python that
the process runs with and the options that it gets, among them the name of the engine, by which the
server chooses what asks the model.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeAlias

from modelserving.launcher.v1.launcher_service_pb2 import GroupSpec

from modelplane.launcher.confined.views import SHARED_BYTES

# Takes lines for the owner of the model.
Log: TypeAlias = Callable[[str], None]
# Told how much of a model's weights is converted, and of how much.
Converting: TypeAlias = Callable[[int, int], None]


class EngineUnfit(Exception):
    """The engine cannot serve the model; the text says why, for the group's owner."""


class Environment(Protocol):
    """An environment that is there, and stays until it is released."""

    @property
    def python(self) -> Path:
        """Its Python."""

    def release(self) -> None:
        """Say that it is no longer needed."""


# Returns the environment of a model, given its directory and what takes the log, line by line.
# Raises `EngineUnfit`.
Build: TypeAlias = Callable[[Path, Log], Awaitable[Environment]]


def _nothing() -> None:
    """Release what nobody holds."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model that replicas can be started for.

    Attributes:
        python: The Python that they run with.
        model: What they serve: a directory or a file.
        release: Says that neither is needed any more.
        told: Last options of their processes, beside those of the engine.
        needs: What else they have to see, files and folders.
        shared_bytes: Room for memory that the programs of one share.
    """

    python: Path
    model: Path
    release: Callable[[], None] = _nothing
    told: Sequence[str] = ()
    needs: Sequence[Path] = ()
    shared_bytes: int = SHARED_BYTES


class Engine(Protocol):
    """Serves models of one kind."""

    @property
    def with_gpus(self) -> bool:
        """Whether it serves replicas that have GPUs, by means of those."""

    @property
    def without_gpus(self) -> bool:
        """Whether it serves replicas that have none."""

    async def prepare(
        self, files: Path, spec: GroupSpec, log: Log, converting: Converting
    ) -> Prepared:
        """Make a model ready, once for all replicas of a group.

        Args:
            files: The model's files, which stay as they are.
            spec: The group.
            log: Takes what is said meanwhile.
            converting: Told how far it is where the model's weights have to be converted.

        Raises:
            EngineUnfit: The model cannot be served.
        """

    def options(self, spec: GroupSpec) -> Sequence[str]:
        """Return the options of a replica's process beside those that all have."""

    def variables(self, spec: GroupSpec) -> Mapping[str, str]:
        """Return the environment variables of a replica beside those that all have."""


Engines: TypeAlias = Mapping[str, Engine]
NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
