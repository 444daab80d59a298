"""Loops that run beside the servers: begun one by one, each until the end, ended together."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from modelplane.adapters.shared.telemetry import log_fields

_log = logging.getLogger(__name__)

Loop = Callable[[], Awaitable[None]]

# A loop that failed begins again after this time.
_PAUSE_SECONDS = 1.0


class Background:
    """Loops in one task group.

    What a loop does not know how to deal with is logged, and the loop begins again: whatever one
    meets, the others and the servers go on.
    """

    def __init__(
        self,
        group: asyncio.TaskGroup,
        endings: AsyncExitStack,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Begin with none.

        Args:
            group: Runs the loops.
            endings: What is done when the last loop has ended.
            sleep: Waits for seconds.
        """
        self._group = group
        self._endings = endings
        self._sleep = sleep
        self._loops: list[asyncio.Task[None]] = []

    def begin(self, *loops: Loop) -> None:
        """Run `loops`, which go on until they are cancelled."""
        self._loops += [self._group.create_task(self._keep(loop)) for loop in loops]

    def at_end(self, ending: Callable[[], Awaitable[None]]) -> None:
        """Call `ending` once all loops have ended; what is asked for last is done first.

        One that fails is logged, since the process ends in any case.
        """
        self._endings.push_async_callback(_try, ending, "not done at the end")

    def cancel(self) -> None:
        """Tell all loops to end."""
        for loop in self._loops:
            loop.cancel()

    async def _keep(self, loop: Loop) -> None:
        while not await _try(loop, "a loop failed and begins again"):
            await self._sleep(_PAUSE_SECONDS)


async def _try(action: Loop, otherwise: str) -> bool:
    try:
        await action()
    except Exception as error:  # noqa: BLE001 - the boundary: no error of one ends the process
        fields = log_fields(what=getattr(action, "__qualname__", repr(action)))
        _log.error(otherwise, exc_info=error, extra=fields)
        return False
    return True


@asynccontextmanager
async def background(
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[Background]:
    """Yield an empty background; on leaving, end its loops and wait for them.

    What fails beside the loops is raised as it is.

    Args:
        sleep: Waits for seconds before a loop that failed begins again.
    """
    failure: Exception | None = None
    async with AsyncExitStack() as endings, asyncio.TaskGroup() as group:
        running = Background(group, endings, sleep)
        try:
            yield running
        except Exception as error:  # noqa: BLE001 - the group would put it into one of its own
            failure = error
        finally:
            running.cancel()
    if failure is not None:
        try:
            raise failure
        finally:
            del failure
