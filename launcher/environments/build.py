"""One build by uv, within bounds: in time, in what it may write, in whom it runs as.

`cache.py` orders it.
"""

import asyncio
import collections
import contextlib
import os
import re
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import uv

from modelplane.launcher.confined.orders import ENTER, Orders
from modelplane.launcher.confined.views import parts_of_python
from modelplane.launcher.environments.failures import EnvironmentFailed, explain
from modelplane.launcher.environments.index import NO_INDEX, without_credentials
from modelplane.launcher.environments.pythons import Python, open_to_all
from modelplane.launcher.environments.requirements import Requested

Log = Callable[[str], None]
# Besides the first try.
_RETRIES = "2"
_LIMITS = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": 16 << 30}
_LINE_BYTES = 64 << 10
_LINE_CHARACTERS = 2000
_KEPT_LINES = 200
# What uv says where it may not build what it would have to.
_NEEDS_BUILD = re.compile("building (source distributions|from source) is disabled", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Program:
    """A program that a build runs.

    Attributes:
        command: It and its arguments.
        variables: All its variables.
        needs: Files and folders that it reads or writes.
    """

    command: Sequence[str]
    variables: Mapping[str, str] = field(repr=False)
    needs: Sequence[Path]


# Runs a program and returns its exit status.
Run = Callable[[Program, Log], Awaitable[int]]


class Sandbox(Protocol):
    """Who runs builds, where that is not this process's user."""

    def fetching(self, folder: Path, cache: Path) -> AbstractAsyncContextManager[Run]:
        """Give both to a user for whom nothing runs that comes with a package."""

    def building(self, folder: Path) -> AbstractAsyncContextManager[Run]:
        """Give a folder to a user that nothing else has, and take it back at the end."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to build.

    Attributes:
        folder: An empty directory, which will hold `venv`.
        cache: Directory of packages that were fetched, shared by all builds.
        requested: What shall be in the environment.
        python: Its Python.
        variables: By which uv finds packages.
    """

    folder: Path
    cache: Path
    requested: Requested
    python: Python
    variables: Mapping[str, str] = field(repr=False)


async def build_environment(
    order: Order, seconds: float, sandbox: Sandbox | None, log: Log
) -> None:
    """Make an environment.

    A package without a wheel is a program that runs while it is built. Where there is a sandbox, it
    runs as a user of its own, with a cache of its own: it could change what others get from the
    shared one.

    Raises:
        EnvironmentFailed: It cannot be made; the directory is left as it is then.
    """
    for name, lines in _files(order.requested).items():
        path = order.folder / name
        path.write_text("".join(f"{line}\n" for line in lines))
        path.chmod(0o644)
    scratch = order.folder / "scratch"
    scratch.mkdir()
    binary = Path(uv.find_uv_bin())
    if sandbox and not open_to_all(binary):
        binary = await asyncio.to_thread(_copy_program, binary, scratch)
    try:
        async with asyncio.timeout(seconds):
            if sandbox is None:
                await _Build(order, binary, order.cache, run_here, log).all()
                return
            async with sandbox.fetching(order.folder, order.cache) as run:
                if await _Build(order, binary, order.cache, run, log).of_wheels():
                    return
            log("A package comes without a wheel and has to be built, so all is fetched anew:")
            await asyncio.to_thread(shutil.rmtree, order.folder / "venv")
            async with sandbox.building(order.folder) as run:
                await _Build(order, binary, scratch / "cache", run, log).all()
    except TimeoutError as error:
        raise EnvironmentFailed(
            f"Building the environment was not done within {seconds:.0f} seconds."
        ) from error


def _files(requested: Requested) -> Mapping[str, Sequence[str]]:
    return {"requirements.txt": requested.packages, "constraints.txt": requested.constraints}


def _copy_program(program: Path, folder: Path) -> Path:
    copy = folder / program.name
    shutil.copyfile(program, copy)
    copy.chmod(0o755)
    return copy


@dataclass(frozen=True, slots=True)
class _Build:
    order: Order
    uv: Path
    cache: Path
    run: Run
    log: Log

    async def all(self) -> None:
        """Install packages, those included that have to be built."""
        await self._make_venv()
        # Compiled now: replicas run as users who cannot keep what each of them would compile.
        if failure := await self._install("--compile-bytecode"):
            raise EnvironmentFailed(explain(failure))

    async def of_wheels(self) -> bool:
        """Install packages unless one has to be built; nothing of them runs meanwhile."""
        await self._make_venv()
        if failure := await self._install("--no-build"):
            if _NEEDS_BUILD.search(failure):
                return False
            raise EnvironmentFailed(explain(failure))
        # By uv, the environment's own Python would do it, and run what packages add to its start.
        compiling = ["-I", "-S", "-m", "compileall", "-q", "-q", "-j", "0"]
        # Tests that packages bring are a third of all files, and no model runs them.
        compiling += ["-x", "/site-packages/.+/tests?/"]
        # What a package has for other Pythons cannot be compiled, and need not be.
        lib = str(self.order.folder / "venv" / "lib")
        await self._say((str(self.order.python.path), *compiling, lib))
        return True

    async def _make_venv(self) -> None:
        python = str(self.order.python.path)
        venv = str(self.order.folder / "venv")
        if failure := await self._uv("venv", "--relocatable", "--python", python, venv):
            raise EnvironmentFailed(explain(failure))

    async def _install(self, option: str) -> str:
        """Return what uv says where it fails."""
        folder = self.order.folder
        arguments = ["pip", "install", option, "--python", str(folder / "venv" / "bin" / "python")]
        arguments += ["--requirements", str(folder / "requirements.txt")]
        if self.order.requested.constraints:
            arguments += ["--constraints", str(folder / "constraints.txt")]
        if self.order.variables.get(NO_INDEX, "0") not in {"", "0", "false"}:
            arguments.append("--no-index")
        return await self._uv(*arguments)

    async def _uv(self, *arguments: str) -> str:
        """Run uv, which tries again by itself where the network is at fault."""
        return await self._say((str(self.uv), "--no-progress", "--color", "never", *arguments))

    async def _say(self, command: Sequence[str]) -> str:
        """Run a program into the log, and return the end of it where it fails."""
        last: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)

        def take(line: str) -> None:
            # Longer ones are nobody's to read, and slow to search.
            text = without_credentials(line.replace(f"{self.order.folder}/", ""))[:_LINE_CHARACTERS]
            last.append(text)
            self.log(text)

        scratch = str(self.order.folder / "scratch")
        own = {"HOME": scratch, "TMPDIR": scratch, "UV_CACHE_DIR": str(self.cache)}
        variables = {"UV_HTTP_RETRIES": _RETRIES, **self.order.variables, **own}
        status = await self.run(Program(command, variables, list(self._needs(variables))), take)
        return "\n".join(last) or f"status {status}" if status else ""

    def _needs(self, variables: Mapping[str, str]) -> Iterator[Path]:
        """Yield what a program reads or writes: also what variables name, as a package index."""
        yield self.order.folder
        yield self.uv
        yield from parts_of_python(self.order.python.path)
        # Of what a model names, only files of its own.
        yield from (Path(line) for line in self.order.requested.packages if line.startswith("/"))
        for part in re.split(r"[\s,]+", " ".join(variables.values())):
            path = Path(part.removeprefix("file://"))
            if path.is_absolute() and path.exists():
                yield path


async def run_here(program: Program, log: Log) -> int:
    """Run a program as this process's user."""
    orders = Orders(
        command=program.command,
        environment=program.variables,
        directory=Path("/"),  # where no project is, whose settings uv would take
        user=None,
        needs=(),
        limits=_LIMITS,
        umask=0o022,  # others may run what is in the environment
    )
    process = await asyncio.create_subprocess_exec(
        *ENTER,
        cwd="/",
        env={},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        limit=_LINE_BYTES,
    )
    try:
        assert process.stdin  # noqa: S101 - it is a pipe
        assert process.stdout  # noqa: S101 - likewise
        # One that has died by now says so by its exit status.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(orders.written())
            await process.stdin.drain()
        process.stdin.close()
        await _read(process.stdout, log)
        return await process.wait()
    finally:
        # With all that a package's own build has started.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _read(output: asyncio.StreamReader, log: Log) -> None:
    while True:
        try:
            line = await output.readline()
        except ValueError:
            continue  # a line without end: its rest follows
        if not line:
            return
        log(line.decode(errors="replace").rstrip())
