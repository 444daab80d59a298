"""Child processes that end with their parent, and are started again when they die.

`parts.py` keeps them, `plan.py` says which.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

_FIRST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 10.0
# A process that lived this long did not die of what killed the one before it.
_STEADY_SECONDS = 10.0

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start a child process."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    log_file: Path


class Child:
    """Keeps one child process running until it is told to stop.

    Args:
        spec: How to start it.
        say: Tells the user of deaths and restarts.
        on_start: Called after each start.
    """

    def __init__(
        self, spec: ChildSpec, say: Callable[[str], None], on_start: Callable[[], None]
    ) -> None:
        self.spec = spec
        self.deaths = 0
        self._say = say
        self._on_start = on_start
        self._stopping = asyncio.Event()
        self._told = False
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process id; None while there is no process."""
        process = self._process
        return process.pid if process and process.returncode is None else None

    async def supervise(self) -> None:
        """Run the process again and again until `stop` is called."""
        loop = asyncio.get_running_loop()
        delay = _FIRST_DELAY_SECONDS
        while not self._stopping.is_set():
            started = loop.time()
            try:
                ended = describe(await self._run())
            except OSError as error:
                # Without room for one more process, or for its log.
                ended = f"cannot be started: {error.strerror}"
            if self._stopping.is_set():
                return
            self.deaths += 1
            if loop.time() - started > _STEADY_SECONDS:
                delay = _FIRST_DELAY_SECONDS
            self._say(f"{self.spec.name} {ended}; starting it again in {delay:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
            delay = min(2 * delay, _LONGEST_DELAY_SECONDS)

    async def stop(self, grace_seconds: float) -> None:
        """End the process: politely first, by force after `grace_seconds`."""
        self._stopping.set()
        process = self._process
        if process is None:
            return
        if not self._told:
            # A second time it would not end its calls.
            self._told = True
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        try:
            await asyncio.wait_for(process.wait(), grace_seconds)
        except TimeoutError:
            self._say(f"{self.spec.name} did not stop in {grace_seconds:g} s and is killed")
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def let_end(self) -> None:
        """Wait for the end of the process, which something else tells it to; the last one."""
        self._stopping.set()
        if self._process is not None:
            await self._process.wait()

    async def _run(self) -> int:
        with self.spec.log_file.open("ab") as log:
            self._process = await start_process(self.spec, log)
        if self._stopping.is_set():
            # `stop` came while the process was being made and could not see it.
            self._process.kill()
        self._on_start()
        return await self._process.wait()


def python_command(module: str) -> list[str]:
    """Return the command that runs a module, for an environment of `python_variables`.

    Python itself would look into the working directory first, where a user may have anything.
    """
    return [sys.executable, "-P", "-m", module]


def python_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the entries of PYTHONPATH that mean the working directory."""
    variables = dict(environment)
    path = variables.pop("PYTHONPATH", "").split(os.pathsep)
    if absolute := [entry for entry in path if Path(entry).is_absolute()]:
        variables["PYTHONPATH"] = os.pathsep.join(absolute)
    return variables


async def start_process(spec: ChildSpec, log: IO[bytes]) -> asyncio.subprocess.Process:
    """Start a process, which is killed when this one dies."""
    return await asyncio.create_subprocess_exec(
        *spec.command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=dict(spec.environment),
        # Ctrl-C is for this process, which stops its children in order.
        start_new_session=True,
        preexec_fn=_die_with(os.getpid()),
    )


def describe(status: int) -> str:
    """Return how a process ended, in words."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _die_with(parent: int) -> Callable[[], None]:
    """Return what a child does before it starts: ask to be killed when its parent dies."""

    def prepare() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

    return prepare
