"""Puts the backend together for a Ray cluster, from the launcher's settings."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from modelplane.launcher.backend import Backend
from modelplane.launcher.cluster.host_servicer import listening
from modelplane.launcher.cluster.launcher import ClusterLauncher
from modelplane.launcher.cluster.place import capacity_of, needed, own_files
from modelplane.launcher.ray.api import Api
from modelplane.launcher.ray.cluster import RayCluster
from modelplane.launcher.ray.jobs import Hosts
from modelplane.launcher.settings import Settings


@asynccontextmanager
async def ray_backend(settings: Settings) -> AsyncIterator[Backend]:
    """Yield the backend, with which hosts can register.

    Raises:
        ValueError: Settings are missing, or do not fit.
        OSError: A file cannot be read, or the address not be listened on.
    """
    files = own_files(settings)
    token = Path(needed(settings.ray_token_file, "MODELPLANE_RAY_TOKEN_FILE"))
    hosts = Hosts(
        settings.ray_python,
        needed(settings.hosts_address, "MODELPLANE_HOSTS_ADDRESS"),
        files.ca.read_text(),
        settings.launcher_pool,
        settings.ray_dir,
        settings.labels,
        {
            "MODELPLANE_LAUNCHER_VLLM": settings.launcher_vllm,
            "MODELPLANE_LAUNCHER_COMMANDS": settings.launcher_commands,
            "MODELPLANE_LAUNCHER_PACKAGES": settings.launcher_packages,
            "MODELPLANE_LOG_LEVEL": settings.log_level,
        },
    )
    async with aclosing(Api(settings.ray_api, token)) as api:
        api.token()
        backend = ClusterLauncher(RayCluster(api, hosts, capacity_of(settings)))
        async with listening(backend, settings.hosts_listen, files):
            yield backend
