"""Puts the backend together for a Kubernetes cluster, from the launcher's settings."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from modelplane.launcher.backend import Backend
from modelplane.launcher.cluster.host_servicer import listening
from modelplane.launcher.cluster.launcher import ClusterLauncher
from modelplane.launcher.cluster.place import capacity_of, needed, own_files
from modelplane.launcher.kubernetes.api import Api
from modelplane.launcher.kubernetes.cluster import KubernetesCluster
from modelplane.launcher.kubernetes.manifests import Hosts
from modelplane.launcher.kubernetes.pod_options import read_pod_options
from modelplane.launcher.settings import Settings


@asynccontextmanager
async def kubernetes_backend(settings: Settings) -> AsyncIterator[Backend]:
    """Yield the backend, with which hosts can register.

    Raises:
        ValueError: Settings are missing, or do not fit.
        OSError: A file cannot be read, or the address not be listened on.
    """
    files = own_files(settings)
    account = Path(settings.kubernetes_account)
    namespace = settings.kubernetes_namespace or (account / "namespace").read_text().strip()
    options = settings.kubernetes_pod
    hosts = Hosts(
        needed(settings.kubernetes_image, "MODELPLANE_KUBERNETES_IMAGE"),
        needed(settings.hosts_address, "MODELPLANE_HOSTS_ADDRESS"),
        files.ca.read_text(),
        settings.launcher_pool,
        read_pod_options(Path(options)) if options else {},
        {
            "MODELPLANE_LAUNCHER_VLLM": settings.launcher_vllm,
            "MODELPLANE_LAUNCHER_COMMANDS": settings.launcher_commands,
        },
    )
    capacity = capacity_of(settings)
    async with aclosing(Api(settings.kubernetes_api, account)) as api:
        backend = ClusterLauncher(KubernetesCluster(api, namespace, hosts, capacity))
        async with listening(backend, settings.hosts_listen, files):
            yield backend
