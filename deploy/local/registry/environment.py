"""The environment of the registry's server, made when it is first wanted.

MLflow with all that it needs is larger than modelplane, and meets it only over HTTP: so it is no
dependency. What is installed is what `mlflow.txt` locks, unbuilt. Used by `server.py`.
"""

import asyncio
import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import uv

from modelplane.deploy.local.child import ChildSpec, start_process
from modelplane.launcher.environments.failures import explain
from modelplane.launcher.environments.index import read_index

_LOCK = Path(__file__).with_name("mlflow.txt")
_DIGITS = 16
# uv's own cache, where whoever runs this has it.
_CACHE = ("HOME", "XDG_CACHE_HOME", "UV_CACHE_DIR")
# They would change what the lock says.
_WITHOUT = ("UV_CONSTRAINT", "UV_OVERRIDE", "UV_EXCLUDE_NEWER", "UV_PRERELEASE")


class NotInstalled(Exception):
    """The packages cannot be had; the text says why."""


async def installed(folder: Path, environ: Mapping[str, str], log: Path) -> Path:
    """Return the Python of the environment, which is made unless it is there.

    Args:
        folder: Directory of its own; other environments in it are deleted.
        environ: Variables of this process, which say where packages come from.
        log: File that takes what the installation says, in place of what it said before.

    Raises:
        NotInstalled: The packages cannot be had.
        OSError: The disk does not take it.
    """
    place = folder / _name()
    python = place / "bin" / "python"
    if not python.exists():
        # Of other versions, or half made.
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        new = folder / "new"
        new.mkdir(parents=True)
        await _install(new, environ, log)
        new.rename(place)
    return python


async def _install(venv: Path, environ: Mapping[str, str], log: Path) -> None:
    await asyncio.to_thread(log.write_text, "")
    variables = await read_index(environ)
    variables |= {name: environ[name] for name in _CACHE if name in environ}
    variables = {name: value for name, value in variables.items() if name not in _WITHOUT}
    python = str(venv / "bin" / "python")
    locked = ("--no-deps", "--require-hashes", "--only-binary", ":all:")
    for command in (
        ("venv", "--no-project", "--relocatable", "--clear", "--python", sys.executable, str(venv)),
        ("pip", "install", "--python", python, *locked, "--requirements", str(_LOCK)),
    ):
        spec = ChildSpec("uv", [uv.find_uv_bin(), "--no-progress", *command], variables, log)
        if await _run(spec):
            said = await asyncio.to_thread(log.read_text, errors="replace")
            raise NotInstalled(explain(said))


async def _run(spec: ChildSpec) -> int:
    with spec.log_file.open("ab") as log:
        process = await start_process(spec, log)
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _name() -> str:
    """Return a name for what it is made from."""
    made_from = (sys.version, os.path.realpath(sys.executable), platform.platform())
    digest = hashlib.sha256(repr(made_from).encode() + _LOCK.read_bytes())
    return digest.hexdigest()[:_DIGITS]
