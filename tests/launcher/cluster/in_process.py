"""Launchers of clusters, and hosts as they run them, in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from modelplane.launcher.__main__ import run
from modelplane.launcher.artifacts.cache import Artifacts
from modelplane.launcher.backend import Backend
from modelplane.launcher.engines.mlflow_pyfunc import MlflowPyfunc
from modelplane.launcher.local.budget import MemoryBudget
from modelplane.launcher.local.group import Means
from modelplane.launcher.local.launcher import LocalLauncher, opened
from modelplane.launcher.local.preparation import Preparer
from modelplane.launcher.local.reach import Reach
from modelplane.launcher.local.users import Users
from modelplane.launcher.settings import Settings
from tests.launcher.groups import SERVER, Models, build


async def run_host(
    models: Models, settings: Settings, stop: asyncio.Event, killed: asyncio.Event
) -> int:
    """Run the launcher of one replica, with models that a fake server serves.

    Returns:
        Its exit status: 137 if it was killed.
    """
    with opened(settings.launcher_dir, Users(())) as replicas:
        artifacts = Artifacts(settings.launcher_dir / "models", 1 << 30, models.download)
        means = Means(
            Preparer(artifacts, {"mlflow_pyfunc": MlflowPyfunc(build)}),
            SERVER,
            replicas,
            MemoryBudget(settings.memory_bytes),
            Users(()),
            reach=Reach(settings.replica_host, is_secure=settings.secures_replicas),
        )
        backend = LocalLauncher(means)
        running = asyncio.create_task(run(settings, backend, stop))
        killing = asyncio.create_task(killed.wait())
        try:
            await asyncio.wait({running, killing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            killing.cancel()
            running.cancel()
            await asyncio.gather(running, killing, return_exceptions=True)
            await backend.stop(0)
    return 137 if killed.is_set() else 0


@asynccontextmanager
async def launching_on(backend: AbstractAsyncContextManager[Backend]) -> AsyncIterator[Backend]:
    """Run a launcher with a backend; what it has started goes on afterwards."""
    async with backend as opened_backend:
        watching = asyncio.create_task(opened_backend.watch())
        try:
            yield opened_backend
        finally:
            await opened_backend.stop(0)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
