"""A Ray cluster whose jobs run in this process: a strict REST API, and launchers as its hosts."""

import asyncio
import shlex
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelplane.adapters.shared.settings import load
from modelplane.deploy.certificates import LAUNCHER, CertificateDir
from modelplane.launcher import service
from modelplane.launcher.ray import cluster as ray_cluster
from modelplane.launcher.ray import host
from modelplane.launcher.ray.place import ray_backend
from modelplane.launcher.settings import Settings
from tests.emulators.ray.cluster import Cluster, Job, Node, Process
from tests.emulators.ray.server import Ray
from tests.launcher.cluster import in_process
from tests.launcher.cluster.in_process import launching_on
from tests.launcher.groups import Machine, Models
from tests.ports import free_port

TOKEN = "cluster-token"
PYTHON = "/opt/model plane/bin/python"


@dataclass
class World(Machine):
    """A launcher with a Ray cluster.

    Attributes:
        ray: The head.
        settings: Those of the launcher.
        running: Ends the launcher.
    """

    launcher: Any
    models: Models
    folder: Path
    ray: Ray
    settings: Settings
    running: AsyncExitStack

    @property
    def cluster(self) -> Cluster:
        return self.ray.cluster

    async def end_launcher(self) -> None:
        """End the launcher, as one that is moved does."""
        await self.running.aclose()

    def with_settings(self, **changes: Any) -> Settings:
        """Return those of the launcher, with changes."""
        return replace(self.settings, **changes)

    def jobs(self) -> list[Job]:
        """Return the jobs that have not ended."""
        return [job for job in self.cluster.jobs.values() if not job.is_terminal]


async def run_host(models: Models, folder: Path, process: Process) -> int:
    """Run a job's command: a host, with models that a fake server serves."""
    assert shlex.split(process.entrypoint) == [
        *("exec", PYTHON, "-I", "-m", "modelplane.launcher.ray.host")
    ]
    own = Path(tempfile.mkdtemp(dir=folder))
    given = host.variables(own, process.environment, process.node.address)
    settings = load(Settings, "modelplane launcher", [], given)
    return await in_process.run_host(models, settings, process.stop, process.killed)


@asynccontextmanager
async def world(tmp_path: Path, *nodes: Node, **options: str) -> AsyncIterator[World]:
    """Run a Ray cluster, and a launcher with it; `options` are variables of the launcher."""
    usual = service._LOG_SECONDS, ray_cluster._LOOK_SECONDS
    service._LOG_SECONDS, ray_cluster._LOOK_SECONDS = 0.1, 0.1
    certificates = CertificateDir(tmp_path / "certificates")
    certificates.ensure(["127.0.0.1"], datetime.now(UTC))
    models = Models(tmp_path / "registry")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "token").write_text(TOKEN + "\n")
    cluster = Cluster(
        lambda process: run_host(models, tmp_path / "jobs", process),
        *(nodes or (Node("127.0.0.2", cpus=2), Node("127.0.0.3"))),
    )
    ray = Ray(cluster, TOKEN)
    async with ray.running():
        hosts = f"127.0.0.1:{free_port()}"
        given: Mapping[str, str] = {
            **certificates.settings(LAUNCHER),
            "MODELPLANE_RAY_API": ray.url,
            "MODELPLANE_RAY_TOKEN_FILE": str(tmp_path / "token"),
            "MODELPLANE_RAY_PYTHON": PYTHON,
            "MODELPLANE_HOSTS_LISTEN": hosts,
            "MODELPLANE_HOSTS_ADDRESS": hosts,
            "MODELPLANE_LAUNCHER_MEMORY": "64GiB",
            **options,
        }
        settings = load(Settings, "modelplane launcher", ["--backend", "ray"], given)
        working = asyncio.create_task(cluster.work())
        try:
            async with AsyncExitStack() as stack:
                backend = await stack.enter_async_context(launching(settings))
                yield World(backend, models, tmp_path, ray, settings, stack)
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            service._LOG_SECONDS, ray_cluster._LOOK_SECONDS = usual


def launching(settings: Settings) -> AbstractAsyncContextManager[Any]:
    """Run a launcher of the cluster; what it has started goes on afterwards."""
    return launching_on(ray_backend(settings))
