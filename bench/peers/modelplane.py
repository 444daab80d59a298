"""modelplane itself: governed and bare, and with several workers.

Governed: a user's access token, a permission, limits far above the load, usage tracking. Bare:
neither limits nor usage tracking; callers and their permissions are always checked. All processes
count: `modelplane up`, Envoy, the control plane and the workers.
"""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.governed import create_bare_endpoint, create_governed_endpoint
from bench.grpc_load import TypedCall
from bench.peers.gateway import MODEL, Gateway, Place, Target
from bench.peers.install import nothing, run
from bench.system import COMMAND, System, running_system

_ENDPOINT = "bench"
_GOVERNED = "governed"
_Create = Callable[[System, str, str, str], Awaitable[dict[str, str]]]
_KINDS: tuple[tuple[str, _Create], ...] = (
    (_GOVERNED, create_governed_endpoint),
    ("bare", create_bare_endpoint),
)


@asynccontextmanager
async def _start(workers: int, create: _Create, place: Place) -> AsyncIterator[Target]:
    # Installed into a directory of its own, it is another commit.
    other = place.home / ".venv" / "bin" / "modelplane"
    program = str(other) if other.exists() else COMMAND
    options = ("--workers", str(workers))
    async with running_system(place.directory, *options, program=program) as system:
        headers = await create(system, _ENDPOINT, place.provider_url, MODEL)
        url = f"{system.url}/serving-endpoints/{_ENDPOINT}/invocations"
        address = system.url.removeprefix("http://")
        typed = TypedCall(address, _ENDPOINT, headers["authorization"])
        yield Target(url, system.up.pid, headers, typed=typed)


def _gateway(workers: int, kind: str, create: _Create) -> Gateway:
    several = f", {workers} workers" if workers > 1 else ""
    return Gateway(
        name=f"modelplane, {kind}{several}",
        setting=f"`modelplane up --workers {workers}`, {kind}",
        documentation="",
        install=nothing,
        start=partial(_start, workers, create),
        scaling=workers > 1,
        governed=kind == _GOVERNED,
    )


def modelplane_at(revision: str) -> tuple[Gateway, ...]:
    """Return another commit of modelplane, governed and bare, with one worker.

    Args:
        revision: What git calls the commit.
    """

    def install(home: Path) -> None:
        if (home / ".venv" / "bin" / "modelplane").exists():
            return
        run("git", "worktree", "add", "--detach", str(home), revision)
        run(sys.executable, str(home / "install.py"), "run")

    return tuple(
        replace(_gateway(1, *kind), name=f"modelplane {revision}, {kind[0]}", install=install)
        for kind in _KINDS
    )


MODELPLANE = tuple(_gateway(workers, *kind) for workers in (1, 2, 4) for kind in _KINDS)
