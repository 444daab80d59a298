"""One build by uv, within bounds: in time, in what it may write, in whom it runs as."""

import asyncio
import collections
import contextlib
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

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
# Replicas that run as other users cannot write the compiled files beside the sources.
_IMPORTS = "import mlflow.pyfunc"
_LIMITS = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": 16 << 30}
_LINE_BYTES = 64 << 10
_LINE_CHARACTERS = 2000
_KEPT_LINES = 200


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a build may take.

    Attributes:
        seconds: Time for all of it.
        user: User that it runs as, where this process may choose; none: as this process.
    """

    seconds: float = 1800.0
    user: int | None = None


async def build_environment(
    folder: Path, requested: Requested, python: Python, uv_variables: Mapping[str, str],
    bounds: Bounds, log: Log,
) -> None:  # fmt: skip
    """Make an environment in an empty directory, which then holds `venv`.

    Raises:
        EnvironmentFailed: It cannot be made; the directory is left as it is then.
    """
    _write_lines(folder / "requirements.txt", requested.packages)
    scratch = folder / "scratch"
    scratch.mkdir()
    if bounds.user is not None:
        for path in (folder, scratch):
            os.chown(path, bounds.user, bounds.user)
    own = {"HOME": str(scratch), "TMPDIR": str(scratch)}
    wheels = {Path(line).parent for line in requested.packages if line.startswith("/")}
    runner = _Runner(
        _uv(folder.parent, bounds),
        folder,
        # All environments: beside them is what uv keeps.
        (folder.parent, *parts_of_python(python.path), *wheels),
        {"UV_HTTP_RETRIES": _RETRIES, **uv_variables, **own},
        bounds,
        log,
    )
    venv = folder / "venv"
    # Compiled now: replicas run as users who cannot keep what each of them would compile.
    install = ["pip", "install", "--compile-bytecode", "--python", str(venv / "bin" / "python")]
    install += ["--requirements", str(folder / "requirements.txt")]
    if requested.constraints:
        _write_lines(folder / "constraints.txt", requested.constraints)
        install += ["--constraints", str(folder / "constraints.txt")]
    if uv_variables.get(NO_INDEX, "0") not in {"", "0", "false"}:
        install.append("--no-index")
    try:
        async with asyncio.timeout(bounds.seconds):
            await runner.run("venv", "--relocatable", "--python", str(python.path), str(venv))
            await runner.run(*install)
            await runner.warm(venv / "bin" / "python")
    except TimeoutError as error:
        raise EnvironmentFailed(
            f"Building the environment was not done within {bounds.seconds:.0f} seconds."
        ) from error


def _uv(folder: Path, bounds: Bounds) -> str:
    """Return a uv that the build's user can run: a copy, where our own is not for all to see."""
    own = Path(uv.find_uv_bin())
    if bounds.user is None or open_to_all(own):
        return str(own)
    copy = folder / "packages" / f"uv-{version('uv')}"
    if not copy.exists():
        partial = copy.with_name(f"{copy.name}.{secrets.token_hex(4)}")
        shutil.copyfile(own, partial)
        partial.chmod(0o755)
        partial.rename(copy)
    return str(copy)


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(0o644)


@dataclass(frozen=True, slots=True)
class _Runner:
    uv: str
    folder: Path
    needs: Sequence[Path]
    variables: Mapping[str, str]
    bounds: Bounds
    log: Log

    async def run(self, *arguments: str) -> None:
        """Run uv, which tries again by itself where the network is at fault."""
        command = (self.uv, "--no-progress", "--color", "never", *arguments)
        status, said = await self._run_once(command)
        if status != 0:
            raise EnvironmentFailed(explain(said))

    async def warm(self, python: Path) -> None:
        """Import once what every model imports, so that no replica has to compile it."""
        status, said = await self._run_once((str(python), "-I", "-c", _IMPORTS))
        if status != 0:
            last = said.strip().rpartition("\n")[2]
            raise EnvironmentFailed(
                f"The packages are installed, but MLflow cannot be imported: {last}"
            )

    async def _run_once(self, command: Sequence[str]) -> tuple[int, str]:
        orders = Orders(
            command=command,
            environment=self.variables,
            directory=Path("/"),  # where no project is, whose settings uv would take
            user=self.bounds.user,
            needs=self.needs,
            limits=_LIMITS,
            umask=0o022,  # replicas run as other users
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
            said = await self._read(process.stdout)
            return await process.wait(), said
        finally:
            # With all that a package's own build has started.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def _read(self, output: asyncio.StreamReader) -> str:
        last: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        while True:
            try:
                line = await output.readline()
            except ValueError:
                continue  # a line without end: its rest follows
            if not line:
                return "\n".join(last)
            # Longer ones are nobody's to read, and slow to search.
            text = line.decode(errors="replace").rstrip()[:_LINE_CHARACTERS]
            text = without_credentials(text.replace(f"{self.folder}/", ""))
            last.append(text)
            self.log(text)
