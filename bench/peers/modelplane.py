"""modelplane itself, on both hosts of its workers, governed and bare.

Governed: a user's access token, a permission, limits far above the load, usage tracking. Bare:
neither limits nor usage tracking; callers and their permissions are always checked. All processes
count: `modelplane up`, Envoy, the control plane and one worker.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from bench.governed import create_bare_endpoint, create_governed_endpoint
from bench.peers.gateway import MODEL, Gateway, Place, Target
from bench.peers.install import nothing
from bench.system import System, running_system

_ENDPOINT = "bench"
_Create = Callable[[System, str, str, str], Awaitable[dict[str, str]]]


@asynccontextmanager
async def _start(host: str, create: _Create, place: Place) -> AsyncIterator[Target]:
    async with running_system(place.directory, "--workers", "1", "--worker-host", host) as system:
        headers = await create(system, _ENDPOINT, place.provider_url, MODEL)
        url = f"{system.url}/serving-endpoints/{_ENDPOINT}/invocations"
        yield Target(url, system.up.pid, headers)


def _gateway(host: str, kind: str, create: _Create) -> Gateway:
    return Gateway(
        name=f"modelplane {host}, {kind}",
        setting=f"`modelplane up --workers 1 --worker-host {host}`, {kind}",
        documentation="",
        install=nothing,
        start=partial(_start, host, create),
    )


MODELPLANE = tuple(
    _gateway(host, kind, create)
    for host in ("embedded", "grpc")
    for kind, create in (("governed", create_governed_endpoint), ("bare", create_bare_endpoint))
)
