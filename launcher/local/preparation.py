"""What has to be there before a replica can start: the model's files, ready for their engine.

Used by `group.py`, once for all replicas of a group. `artifacts` keeps the files, `engines` make
them ready.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.launcher.artifacts.cache import Artifacts, FetchFailed, Held
from modelplane.launcher.engines.base import Engines, EngineUnfit, Prepared
from modelplane.launcher.local.tail import Tail

_log = logging.getLogger(__name__)


_LONGEST_SECONDS = 3600.0
_CHANGES_SECONDS = 0.25
_WHAT = {
    pb.GROUP_PROGRESS_FETCHING: "Fetching the model's files",
    pb.GROUP_PROGRESS_BUILDING_ENVIRONMENT: "Building the model's environment",
    pb.GROUP_PROGRESS_CONVERTING: "Converting the model's weights",
}
_MEGABYTE = 1_000_000


class PreparationFailed(Exception):
    """Model or environment cannot be had; the text says why, for the group's owner."""


class Preparation:
    """A preparation under way, or done.

    Attributes:
        progress: What is being done.
        message: How far it is.
        done: How much of it is done: bytes while it fetches, else parts; 0 of 0: not known.
        total: Of how much.
        is_done: Whether `result` is there.
    """

    def __init__(self) -> None:
        self.progress = pb.GROUP_PROGRESS_FETCHING
        self.message = ""
        self.done = self.total = 0
        self.is_done = False
        self._prepared: Prepared | None = None
        self._held: Held | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def result(self) -> Prepared:
        """What replicas are started for."""
        assert self._prepared  # noqa: S101 - only asked once it is done
        return self._prepared

    def hold(self, held: Held) -> None:
        """Keep the model's files, until `end`."""
        self._held = held

    def finish(self, prepared: Prepared) -> None:
        """Say that all is there, and keep it until `end`."""
        self._prepared = prepared
        self.is_done = True

    async def end(self) -> None:
        """Stop, and give back what was held."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        for held in (self._prepared, self._held):
            if held is not None:
                held.release()
        self._prepared = self._held = None


@dataclass(frozen=True, slots=True)
class Preparer:
    """Prepares what replicas need.

    Attributes:
        artifacts: Keeps the files of models.
        engines: Serve them, by name.
    """

    artifacts: Artifacts
    engines: Engines

    def prepare(
        self,
        spec: pb.GroupSpec,
        log: Tail,
        done: Callable[[PreparationFailed | None], None],
        changed: Callable[[], None],
    ) -> Preparation:
        """Begin to fetch the model of a group and to build its environment.

        Args:
            spec: The group.
            log: Takes what is said meanwhile.
            done: Called at the end, with a failure if it is one.
            changed: Called when progress or message have changed.
        """
        preparation = Preparation()
        work = self._run(preparation, spec, log, changed)
        preparation.task = asyncio.create_task(_tell(preparation, work, log, done))
        return preparation

    async def _run(
        self, preparation: Preparation, spec: pb.GroupSpec, log: Tail, changed: Callable[[], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        told = 0.0

        def tell(message: str, done: int, total: int) -> None:
            nonlocal told
            preparation.message, preparation.done, preparation.total = message, done, total
            # A fast disk would have it told thousands of times.
            if loop.time() - told > _CHANGES_SECONDS:
                told = loop.time()
                changed()

        def fetching(done: int, total: int) -> None:
            of = f" of {total / _MEGABYTE:.1f}" if total else ""
            tell(f"{done / _MEGABYTE:.1f}{of} MB", done, total)

        def converting(done: int, total: int) -> None:
            preparation.progress = pb.GROUP_PROGRESS_CONVERTING
            tell(f"{100 * done // max(total, 1)} %", done, total)

        log.line(f"Fetching version {spec.model.version} of model {spec.model.name}.")
        held = await self.artifacts.hold(spec.model, fetching)
        preparation.hold(held)
        log.line("The model's files are there.")
        preparation.progress = pb.GROUP_PROGRESS_BUILDING_ENVIRONMENT
        preparation.message, preparation.done, preparation.total = "", 0, 0
        changed()
        engine = self.engines[spec.engine]
        preparation.finish(await engine.prepare(held.files, spec, log.line, converting))
        log.line("The model is ready to be loaded.")


async def _tell(
    preparation: Preparation,
    work: Awaitable[None],
    log: Tail,
    done: Callable[[PreparationFailed | None], None],
) -> None:
    failure: PreparationFailed | None = None
    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            await work
    except (FetchFailed, EngineUnfit) as error:
        failure = PreparationFailed(str(error))
    except TimeoutError:
        failure = PreparationFailed(f"{_WHAT[preparation.progress]} was not done within an hour.")
    except Exception as error:  # noqa: BLE001 - a bug here ends one group, not the launcher
        _log.warning("a preparation failed", extra=log_fields(reason=repr(error)), exc_info=True)
        what = _WHAT[preparation.progress]
        failure = PreparationFailed(f"{what} has failed by a fault of the launcher's.")
    if failure is not None:
        log.line(str(failure))
        preparation.task = None
        await preparation.end()
    done(failure)
