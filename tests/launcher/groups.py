"""Groups of models that a fake server serves, and a local launcher that runs them."""

import asyncio
import hashlib
import json
import shutil
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.adapters.shared.tls import pinned
from modelplane.launcher.artifacts.cache import Artifacts, Progress
from modelplane.launcher.backend import Backend
from modelplane.launcher.counts import Counts
from modelplane.launcher.engines.base import Build, Engines
from modelplane.launcher.engines.mlflow_pyfunc import MlflowPyfunc
from modelplane.launcher.local.budget import MemoryBudget
from modelplane.launcher.local.devices import Device, Devices
from modelplane.launcher.local.group import Means
from modelplane.launcher.local.launcher import LocalLauncher, opened
from modelplane.launcher.local.preparation import Preparer
from modelplane.launcher.local.reach import HERE, Reach
from modelplane.launcher.local.users import Users

SERVER = Path(__file__).with_name("fake_server.py")
MIB = 1 << 20
SECONDS = 60


class Models:
    """A registry that is a directory, written by a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.downloads: list[str] = []

    def add(self, name: str, **behaviour: Any) -> pb.ModelSource:
        """Make a model whose server behaves so."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "MLmodel").write_text(f"name: {name}\n")
        (folder / "behaviour.json").write_text(json.dumps(behaviour))
        digest = hashlib.sha256((folder / "MLmodel").read_bytes()).hexdigest()
        return pb.ModelSource(
            registry="directory", uri=str(self.folder), name=name, version="1", digest=digest
        )

    async def download(self, model: pb.ModelSource, into: Path, progress: Progress) -> None:
        self.downloads.append(model.name)
        shutil.copytree(self.folder / model.name, into, dirs_exist_ok=True)
        progress(1, 1)


def group(model: pb.ModelSource, replicas: int = 1, **others: Any) -> pb.GroupSpec:
    """Return what should run for a model."""
    fields: dict[str, Any] = {
        "id": hashlib.sha256(model.name.encode()).hexdigest()[:32],
        "generation": 1,
        "replicas": replicas,
        "endpoint_name": model.name,
        "served_entity_name": model.name,
        "model": model,
        "size": pb.ReplicaSize(cpus=1, memory_bytes=256 * MIB, concurrency=4),
        "start_deadline_ms": 20_000,
        "evaluation_deadline_ms": 20_000,
        "engine": "mlflow_pyfunc",
    }
    return pb.GroupSpec(**(fields | others))


class Machine:
    """A launcher and what a test asks of it."""

    def __init__(self, launcher: Backend, models: Models, folder: Path) -> None:
        self.launcher = launcher
        self.models = models
        self.folder = folder

    def run(self, *groups: pb.GroupSpec) -> None:
        self.launcher.apply(groups)

    def report(self) -> pb.Report:
        """Return what runs; nothing, while that is not known."""
        return self.launcher.report() or pb.Report()

    def group(self, spec: pb.GroupSpec) -> pb.GroupReport:
        """Return the report of a group; an empty one: it does not run."""
        found = {one.group_id: one for one in self.report().groups}
        return found.get(spec.id, pb.GroupReport())

    def ready(self, spec: pb.GroupSpec) -> list[pb.ReplicaReport]:
        replicas = self.group(spec).replicas
        return [one for one in replicas if one.phase == pb.REPLICA_PHASE_READY]

    def log(self, spec: pb.GroupSpec, kind: "pb.LogKind.ValueType" = pb.LOG_KIND_SERVICE) -> str:
        return next(
            tail.text()
            for identifier, of, tail in self.launcher.logs()
            if (identifier, of) == (spec.id, kind)
        )

    async def until(self, condition: Callable[[], Any], seconds: float = SECONDS) -> Any:
        """Wait until a condition holds; return its value."""
        async with asyncio.timeout(seconds):
            while not (value := condition()):
                await asyncio.sleep(0.01)
        return value

    async def until_ready(self, spec: pb.GroupSpec) -> list[pb.ReplicaReport]:
        def is_so() -> bool:
            report = self.group(spec)
            assert report.progress != pb.GROUP_PROGRESS_FAILED, report.message
            return len(self.ready(spec)) == spec.replicas == len(report.replicas)

        await self.until(is_so)
        return self.ready(spec)

    async def until_failed(self, spec: pb.GroupSpec) -> str:
        def message() -> str:
            report = self.group(spec)
            return report.message if report.progress == pb.GROUP_PROGRESS_FAILED else ""

        return str(await self.until(message))

    async def until_gone(self, spec: pb.GroupSpec) -> None:
        await self.until(lambda: not self.group(spec).group_id)


class LocalMachine(Machine):
    """This machine."""

    launcher: LocalLauncher


async def ask(replica: pb.ReplicaReport, **question: Any) -> Any:
    """Ask a replica, and return what it predicts."""
    return await asyncio.to_thread(_ask, replica, question)


def _ask(replica: pb.ReplicaReport, question: dict[str, Any]) -> Any:
    tls = pinned(replica.certificate) if replica.certificate else None
    request = urllib.request.Request(
        f"http{'s' if tls else ''}://{replica.address}/invocations",
        json.dumps(question).encode(),
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=SECONDS, context=tls) as answer:
        return json.loads(answer.read())["predictions"]


async def until_inside(replica: pb.ReplicaReport) -> None:
    """Return once a replica answers a question, and has not answered it yet."""
    async with asyncio.timeout(SECONDS):
        while await asyncio.to_thread(_load, replica) == 0:
            await asyncio.sleep(0.01)


def _load(replica: pb.ReplicaReport) -> int:
    with urllib.request.urlopen(f"http://{replica.address}/ping", timeout=SECONDS) as answer:
        return int(answer.headers["x-modelplane-load"])


class Environment:
    """The environment of the tests."""

    python = Path(sys.executable)

    def release(self) -> None:
        """Stay."""


async def build(model: Path, log: Callable[[str], None]) -> Environment:
    """Find an environment for each model: this one."""
    assert (model / "MLmodel").is_file()
    log("an environment that was there")
    return Environment()


@asynccontextmanager
async def machine(
    tmp_path: Path,
    memory: int = 1 << 40,
    users: Sequence[int] = (),
    build: Build = build,
    server: Path = SERVER,
    engines: Engines | None = None,
    *,
    devices: Sequence[Device] = (),
    reach: Reach = HERE,
) -> AsyncIterator[LocalMachine]:
    """Run a launcher, and end all that it runs."""
    models = Models(tmp_path / "registry")
    folder = tmp_path / "launcher"
    separate = Users(users, tmp_path / "users")
    with opened(folder, separate) as replicas:
        counts = Counts()
        artifacts = Artifacts(folder / "models", 1 << 30, models.download, work=counts.fetches)
        preparer = Preparer(artifacts, {"mlflow_pyfunc": MlflowPyfunc(build)} | dict(engines or {}))
        budget = MemoryBudget(memory)
        means = Means(preparer, server, replicas, budget, separate, Devices(devices), reach, counts)
        launcher = LocalLauncher(means)
        watching = asyncio.create_task(launcher.watch())
        try:
            yield LocalMachine(launcher, models, folder)
        finally:
            watching.cancel()
            await launcher.stop(0)
