"""Packages that are fetched when wanted, as locks have them. Used by `model` and `registry`."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import uv

from modelplane.deploy.local.child import ChildSpec, start_process
from modelplane.launcher.environments.failures import explain
from modelplane.launcher.environments.index import read_index

# uv's own cache, where whoever runs this has it.
_CACHE = ("HOME", "XDG_CACHE_HOME", "UV_CACHE_DIR")
# They would change what the lock says.
_WITHOUT = ("UV_CONSTRAINT", "UV_OVERRIDE", "UV_EXCLUDE_NEWER", "UV_PRERELEASE")
_LOCKED = ("--no-deps", "--require-hashes", "--only-binary", ":all:")


class NotInstalled(Exception):
    """The packages cannot be had; the text says why."""


async def install_locked(python: str, lock: Path, environ: Mapping[str, str], log: Path) -> None:
    """Install exactly what a lock has, unbuilt.

    Args:
        python: Python of the environment.
        lock: File of requirements with hashes.
        environ: Variables of this process, which say where packages come from.
        log: File to whose end goes what the installation says.

    Raises:
        NotInstalled: They cannot be had.
    """
    options = ("pip", "install", "--python", python, *_LOCKED, "--requirements", str(lock))
    await run_uv(options, environ, log)


async def run_uv(arguments: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
    """Run uv to its end.

    Raises:
        NotInstalled: It failed.
    """
    variables = await read_index(environ)
    variables |= {name: environ[name] for name in _CACHE if name in environ}
    variables = {name: value for name, value in variables.items() if name not in _WITHOUT}
    spec = ChildSpec("uv", [uv.find_uv_bin(), "--no-progress", *arguments], variables, log)
    with log.open("ab") as output:
        process = await start_process(spec, output)
    try:
        status = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if status:
        said = await asyncio.to_thread(log.read_text, errors="replace")
        raise NotInstalled(explain(said))
