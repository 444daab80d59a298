"""What is read of a launcher's settings for every kind of cluster."""

import re
from collections.abc import Iterator

from modelserving.launcher.v1.launcher_service_pb2 import AvailableEngine, Capacity

from modelplane.adapters.shared.rpc.tls import TlsFiles
from modelplane.launcher.engines import command, llama_cpp, mlflow_pyfunc, vllm
from modelplane.launcher.settings import Settings

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def own_files(settings: Settings) -> TlsFiles:
    """Return the launcher's certificate, by which hosts know it.

    Raises:
        ValueError: There is none, or the pool has a name that clusters do not take.
        OSError: A file cannot be read.
    """
    files = settings.tls
    if not isinstance(files, TlsFiles):
        raise ValueError(  # noqa: TRY004 - the settings' fault
            "Hosts register by TLS: set MODELPLANE_TLS_CA, MODELPLANE_TLS_CERT and "
            "MODELPLANE_TLS_KEY, of a certificate for the name 'launcher'."
        )
    if not _LABEL.fullmatch(settings.launcher_pool):
        raise ValueError("MODELPLANE_LAUNCHER_POOL has to be a value that labels can have.")
    return files


def capacity_of(settings: Settings) -> Capacity:
    """Return what replicas may use together, as the operator says.

    Raises:
        ValueError: The memory is said as a share.
    """
    return Capacity(
        memory_bytes=settings.cluster_memory_bytes,
        gpus=settings.cluster_gpus,
        engines=_engines(settings),
    )


def needed(value: str, variable: str) -> str:
    """Return a setting that has to be set.

    Raises:
        ValueError: It is not.
    """
    if not value:
        raise ValueError(f"{variable} is not set.")
    return value


def _engines(settings: Settings) -> Iterator[AvailableEngine]:
    """Yield what serves models on hosts, as far as it can be known from elsewhere."""
    yield AvailableEngine(name=mlflow_pyfunc.NAME, with_gpus=True, without_gpus=True)
    yield AvailableEngine(name=llama_cpp.NAME, without_gpus=True)
    if settings.launcher_vllm:
        yield AvailableEngine(name=vllm.NAME, with_gpus=True)
    if settings.launcher_commands == "yes":
        yield AvailableEngine(name=command.NAME, with_gpus=True, without_gpus=True)
