"""Loops that run beside the servers: begun one by one, ended together."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager


class Background:
    """Loops in one task group."""

    def __init__(self, group: asyncio.TaskGroup, endings: AsyncExitStack) -> None:
        """Begin with none.

        Args:
            group: Runs the loops; an error of one ends all, and the process with them.
            endings: What is done when the last loop has ended.
        """
        self._group = group
        self._endings = endings
        self._loops: list[asyncio.Task[None]] = []

    def begin(self, *loops: Coroutine[None, None, None]) -> None:
        """Run `loops`, which go on until they are cancelled."""
        self._loops += map(self._group.create_task, loops)

    def at_end(self, ending: Callable[[], Awaitable[None]]) -> None:
        """Call `ending` once all loops have ended; what is asked for last is done first."""
        self._endings.push_async_callback(ending)

    def cancel(self) -> None:
        """Tell all loops to end."""
        for loop in self._loops:
            loop.cancel()


@asynccontextmanager
async def background() -> AsyncIterator[Background]:
    """Yield an empty background; on leaving, end its loops and wait for them.

    Raises:
        ExceptionGroup: A loop failed. What fails beside the loops is raised as it is.
    """
    failure: Exception | None = None
    async with AsyncExitStack() as endings, asyncio.TaskGroup() as group:
        running = Background(group, endings)
        try:
            yield running
        except Exception as error:  # noqa: BLE001 - the group would put it into one of its own
            failure = error
        finally:
            running.cancel()
    if failure is not None:
        raise failure
