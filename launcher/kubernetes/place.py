"""Puts the backend together for a Kubernetes cluster, from the launcher's settings."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

from modelplane.launcher.backend import Backend
from modelplane.launcher.cluster.host_servicer import listening
from modelplane.launcher.cluster.launcher import ClusterLauncher
from modelplane.launcher.cluster.place import capacity_of, needed, own_files
from modelplane.launcher.kubernetes.api import Api
from modelplane.launcher.kubernetes.cluster import KubernetesCluster
from modelplane.launcher.kubernetes.external_scaler_servicer import answering_keda
from modelplane.launcher.kubernetes.manifests import Hosts
from modelplane.launcher.kubernetes.pod_options import read_pod_options
from modelplane.launcher.kubernetes.scaled_objects import Keda
from modelplane.launcher.settings import Settings

_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


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
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(aclosing(Api(settings.kubernetes_api, account)))
        keda = _keda(settings)
        backend = ClusterLauncher(KubernetesCluster(api, namespace, hosts, capacity, keda))
        await stack.enter_async_context(listening(backend, settings.hosts_listen, files))
        if keda is not None:
            answering = answering_keda(backend, namespace, settings.keda_listen, files)
            await stack.enter_async_context(answering)
        yield backend


def _keda(settings: Settings) -> Keda | None:
    """Return how KEDA finds this launcher, where it is KEDA that scales."""
    if settings.kubernetes_scaling != "keda":
        return None
    address = needed(settings.keda_address, "MODELPLANE_KEDA_ADDRESS")
    authentication = settings.keda_authentication
    if not _NAME.fullmatch(authentication):
        raise ValueError(
            "MODELPLANE_KEDA_AUTHENTICATION has to be the name of a TriggerAuthentication."
        )
    return Keda(address, authentication)
