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

from modelplane.deploy.local.packages import install_locked, run_uv

_LOCK = Path(__file__).with_name("mlflow.txt")
_DIGITS = 16


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
    options = ("--no-project", "--relocatable", "--clear", "--python", sys.executable)
    await run_uv(("venv", *options, str(venv)), environ, log)
    await install_locked(str(venv / "bin" / "python"), _LOCK, environ, log)


def _name() -> str:
    """Return a name for what it is made from."""
    made_from = (sys.version, os.path.realpath(sys.executable), platform.platform())
    digest = hashlib.sha256(repr(made_from).encode() + _LOCK.read_bytes())
    return digest.hexdigest()[:_DIGITS]
