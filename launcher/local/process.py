"""Starts the process of a replica, and ends it with all that it has started.

`confined` is what the new process runs first. Used by `replica.py`.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from modelplane.launcher.confined.orders import ENTER, Orders
from modelplane.launcher.confined.views import SHARED_BYTES
from modelplane.launcher.local import seen
from modelplane.launcher.local.tail import Printed
from modelplane.launcher.local.users import can_mount

# A file that a model writes has an end; larger than any that a framework keeps beside a model.
_MOST_FILE_BYTES = 16 << 30
_MOST_FILES = 8192
# Counted for a user, so only where a replica is one.
_MOST_THREADS = 4096
_SWEEPS = 100
_SWEEP_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Start:
    """How to start a process.

    Attributes:
        command: Returns the command for the descriptor on which it says that it is ready.
        environment: All its variables.
        directory: Its working directory and home, which is its own.
        user: User that it runs as; None: the launcher's.
        needs: Files and folders that it needs, beside what every user sees.
        is_alone: Whether nothing else runs as that user.
        umask: What others may not do with the files that it makes.
        temporary: A folder that it has in the place of `/tmp` and the like, where this process may
            give it one.
        shared_bytes: Room for memory that its programs share, in the same case.
    """

    command: Callable[[int], Sequence[str]]
    environment: Mapping[str, str] = field(repr=False)
    directory: Path
    user: int | None
    needs: Sequence[Path]
    is_alone: bool = True
    umask: int = 0o077
    temporary: Path | None = None
    shared_bytes: int = SHARED_BYTES


class ReplicaProcess:
    """A process, the leader of its session, and whatever it starts."""

    def __init__(
        self, process: asyncio.subprocess.Process, start: Start, printed: Printed, ready: IO[bytes]
    ) -> None:
        """See `start_process`."""
        self.pid = process.pid
        self.exited = asyncio.ensure_future(process.wait())
        self._start = start
        self._printed = printed
        self._ready = ready
        self._is_ended = False

    async def first_line(self) -> bytes:
        """Return the line by which it says that it is ready; empty: it will not say one."""
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), self._ready
        )
        try:
            return await reader.readline()
        except ValueError:
            # Longer than anything that it has to say.
            return b""
        finally:
            transport.close()

    def ask_to_end(self) -> None:
        """Send SIGTERM to the process alone: it knows what it has started."""
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def members(self, processes: Sequence[seen.Seen]) -> list[seen.Seen]:
        """Return those of all processes that are its own."""
        user = self._start.user if self._start.is_alone else None
        return seen.members(processes, self.pid, user)

    async def end(self) -> int:
        """Kill it and all that it has started; return its exit status, also if asked again."""
        if self._is_ended:
            return await self.exited
        self._is_ended = True
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        for _ in range(_SWEEPS):
            # What forks while it is killed is found the next time.
            found = {one.pid for one in self.members(seen.look())}
            if self._start.user is None:
                found |= set(seen.living_in(self._start.directory))
            if not found:
                break
            seen.kill(found)
            await asyncio.sleep(_SWEEP_SECONDS)
        status = await self.exited
        self._printed.close()
        self._ready.close()
        return status


async def start_process(start: Start, take: Callable[[bytes], None]) -> ReplicaProcess:
    """Start a process; it is killed when this one dies.

    Args:
        start: What to start.
        take: Called with the lines that it prints.

    Raises:
        OSError: There is no room for one more process.
    """
    printed_read, printed_write = os.pipe()
    ready_read, ready_write = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *ENTER,
            stdin=asyncio.subprocess.PIPE,
            stdout=printed_write,
            stderr=printed_write,
            env={},
            cwd="/",
            pass_fds=(ready_write,),
            start_new_session=True,
        )
    except BaseException:
        os.close(printed_read)
        os.close(ready_read)
        raise
    finally:
        os.close(printed_write)
        os.close(ready_write)
    await _order(process, start, ready_write)
    return ReplicaProcess(process, start, Printed(printed_read, take), os.fdopen(ready_read, "rb"))


async def _order(process: asyncio.subprocess.Process, start: Start, ready: int) -> None:
    orders = Orders(
        command=start.command(ready),
        environment=start.environment,
        directory=start.directory,
        user=start.user,
        needs=start.needs,
        limits=_limits(start.user is not None),
        umask=start.umask,
        temporary=start.temporary if can_mount() else None,
        shared_bytes=start.shared_bytes,
    )
    assert process.stdin  # noqa: S101 - it is a pipe, see above
    # A process that has died by now says so by its exit status.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(orders.written())
        await process.stdin.drain()
    process.stdin.close()


def _limits(own_user: bool) -> Mapping[str, int]:  # noqa: FBT001 - the only argument
    limits = {
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": _MOST_FILE_BYTES,
        "RLIMIT_NOFILE": _MOST_FILES,
    }
    return limits | {"RLIMIT_NPROC": _MOST_THREADS} if own_user else limits
