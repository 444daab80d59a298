"""Composition root of the launcher: runs until it is told to stop."""

import asyncio
import logging
import os
import resource
import secrets
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random

from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.adapters.shared.release import VERSION
from modelplane.adapters.shared.rpc.control_link import ControlLink
from modelplane.adapters.shared.settings import environment
from modelplane.adapters.shared.telemetry import configure_logging, log_fields
from modelplane.launcher.artifacts.cache import Artifacts
from modelplane.launcher.backend import Backend
from modelplane.launcher.counts import Counts
from modelplane.launcher.engines import command, llama_cpp, mlflow_pyfunc, vllm
from modelplane.launcher.engines.base import Engine, Engines
from modelplane.launcher.engines.command import Command
from modelplane.launcher.engines.llama_cpp import LlamaCpp
from modelplane.launcher.engines.mlflow_pyfunc import MlflowPyfunc
from modelplane.launcher.engines.vllm import Vllm
from modelplane.launcher.local.budget import MemoryBudget
from modelplane.launcher.local.devices import VISIBLE, Devices, find_devices, visible
from modelplane.launcher.local.group import Means
from modelplane.launcher.local.launcher import DirectoryTaken, LocalLauncher, opened
from modelplane.launcher.local.preparation import Preparer
from modelplane.launcher.local.reach import Reach
from modelplane.launcher.local.users import Users
from modelplane.launcher.metrics import page_of
from modelplane.launcher.probes import answering
from modelplane.launcher.service import Service
from modelplane.launcher.settings import Settings, load_settings
from modelplane.launcher.supplies import Supplies, download, open_supplies, open_users

_log = logging.getLogger("modelplane.launcher")
_SERVER = Path(__file__).with_name("model_server")


def main(argv: Sequence[str]) -> int:
    """Run a launcher until SIGTERM or SIGINT; return the process's exit code."""
    settings = load_settings(argv)
    configure_logging(settings.log_level)
    # Replicas run as other users, who have to read what this writes for them.
    os.umask(0o022)
    try:
        asyncio.run(_launch(settings))
    except (ValueError, OSError, DirectoryTaken) as error:
        _log.error("the launcher cannot start", extra=log_fields(reason=str(error)))
        return 1
    return 0


async def _launch(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    _raise_file_limit()
    async with _backend(settings) as backend:
        await run(settings, backend, stop)


async def run(settings: Settings, backend: Backend, stop: asyncio.Event) -> None:
    """Keep a backend in step with the control planes, and end what runs once told to stop.

    Args:
        settings: Settings in force.
        backend: Where replicas run.
        stop: Set when it is to end.
    """
    obstacle = partial(_obstacle, backend, is_host=bool(settings.launcher_token_file))
    async with aclosing(ControlLink(settings.targets, settings.tls)) as link:
        service = Service(link, _hello(settings), backend, Random())  # noqa: S311 - jitter, no secrets
        metrics = page_of(backend, service)
        async with answering(settings.launcher_metrics_listen, obstacle, metrics):
            await _keep_in_step(settings, service, backend, stop)


def _hello(settings: Settings) -> pb.Hello:
    return pb.Hello(
        launcher_id=secrets.token_hex(16),
        pool=settings.launcher_pool,
        backend=settings.backend,
        build=VERSION,
    )


@asynccontextmanager
async def _backend(settings: Settings) -> AsyncIterator[Backend]:
    if settings.backend == "kubernetes":
        # Whoever runs replicas here needs nothing of it.
        from modelplane.launcher.kubernetes.place import kubernetes_backend  # noqa: PLC0415

        async with kubernetes_backend(settings) as cluster:
            yield cluster
        return
    if settings.backend == "ray":
        from modelplane.launcher.ray.place import ray_backend  # noqa: PLC0415

        async with ray_backend(settings) as cluster:
            yield cluster
        return
    users = open_users(settings)
    with opened(settings.launcher_dir.absolute(), users) as replicas:
        yield LocalLauncher(_means(settings, replicas, users))


def _obstacle(backend: Backend, *, is_host: bool) -> str:
    """Return what keeps this from being ready: of a host, its replica; empty: nothing."""
    report = backend.report()
    if report is None:
        return "what runs is not known yet"
    if not is_host:
        return ""
    ready = any(group.progress == pb.GROUP_PROGRESS_READY for group in report.groups)
    return "" if ready else "the replica is not ready yet"


async def _keep_in_step(
    settings: Settings, service: Service, backend: Backend, stop: asyncio.Event
) -> None:
    tasks = [asyncio.create_task(work) for work in (service.run(), backend.watch())]
    _log.info("the launcher runs", extra=log_fields(launcher_id=service.launcher_id))
    try:
        await stop.wait()
        for number in (signal.SIGTERM, signal.SIGINT):
            # From now on it ends the process at once, and with it all replicas.
            asyncio.get_running_loop().remove_signal_handler(number)
        fields = log_fields(drain_seconds=settings.drain_seconds)
        _log.info("the launcher ends what runs", extra=fields)
        await service.stop(settings.drain_seconds)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _means(settings: Settings, replicas: Path, users: Users) -> Means:
    folder = replicas.parent
    server = folder / "server"
    # Where it comes from, the users that replicas run as may not be able to go.
    shutil.rmtree(server, ignore_errors=True)
    shutil.copytree(_SERVER, server, ignore=shutil.ignore_patterns("__pycache__"))
    counts = Counts()
    artifacts = Artifacts(folder / "models", settings.cache_bytes, download, work=counts.fetches)
    return Means(
        Preparer(artifacts, _engines(settings, open_supplies(settings, users, counts))),
        server / "serve.py",
        replicas,
        MemoryBudget(settings.memory_bytes),
        users,
        Devices(visible(find_devices(), environment().get(VISIBLE))),
        Reach(settings.replica_host, is_secure=settings.secures_replicas),
        counts,
    )


def _engines(settings: Settings, supplies: Supplies) -> Engines:
    """Return what serves models.

    Raises:
        ValueError: A setting names none.
    """
    engines: dict[str, Engine] = {
        mlflow_pyfunc.NAME: MlflowPyfunc(supplies.build),
        llama_cpp.NAME: LlamaCpp(supplies.convert),
    }
    if settings.launcher_vllm:
        try:
            engines[vllm.NAME] = Vllm(Path(settings.launcher_vllm).absolute())
        except ValueError as error:
            raise ValueError(f"MODELPLANE_LAUNCHER_VLLM: {error}") from None
    if settings.launcher_commands == "yes":
        engines[command.NAME] = Command(supplies.build)
    return engines


def _raise_file_limit() -> None:
    """Allow as many open files as may be: each replica takes some."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
