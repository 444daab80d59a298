"""A registry and a launcher for tests of the control plane: what they say is said by the test."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import yaml
from modelserving.launcher.v1.launcher_service_pb2 import Capacity, Device, ModelSource
from modelserving.worker.v1.hosting_pb2 import Replica

from modelplane.adapters.registries.base import (
    ALIAS,
    ModelNotFound,
    Progress,
    RegistryError,
)
from modelplane.control_plane.clock import Clock
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.hosting import groups, launchers
from modelplane.control_plane.store.hosting.groups import StoredGroup
from modelplane.control_plane.store.hosting.launchers import Claim
from modelplane.control_plane.store.states import GroupPhase, GroupStep

GIB = 1024**3
PYFUNC = {"python_function": {"loader_module": "mlflow.sklearn"}}
COLUMNS = '[{"type": "double", "name": "sepal length (cm)", "required": true}]'
HOSTED: dict[str, object] = {
    "entity_name": "catalog.schema.model-A",
    "entity_version": "1",
    "scale_to_zero_enabled": True,
}


def mlmodel(**fields: object) -> bytes:
    """Return an `MLmodel` file."""
    return yaml.safe_dump({"flavors": PYFUNC, "mlflow_version": "3.17.2", **fields}).encode()


def language_model(
    task: str = "llm/v1/chat", architecture: str = "LlamaForCausalLM", **fields: object
) -> bytes:
    """Return an `MLmodel` file of a model that an engine serves."""
    transformers = {"pipeline_model_type": architecture, "model_binary": "model"}
    flavors = {"transformers": transformers, **PYFUNC}
    return mlmodel(flavors=flavors, metadata={"task": task}, **fields)


class FakeRegistry:
    """Knows the models that the documents name; counts how often it is asked."""

    def __init__(self) -> None:
        names = ("catalog.schema.model-A", "catalog.schema.model-B")
        signature = {"inputs": COLUMNS}
        self.models: dict[tuple[str, str], bytes] = {
            (name, version): mlmodel(signature=signature) for name in names for version in "123"
        }
        self.aliases: dict[tuple[str, str], str] = {}
        self.fault: RegistryError | None = None
        self.asked = 0

    async def version(self, name: str, version: str) -> ModelSource:
        """Return where a version is."""
        self.asked += 1
        if self.fault:
            raise self.fault
        if version.startswith(ALIAS):
            version = self.aliases.get((name, version.removeprefix(ALIAS)), version)
        if (name, version) not in self.models:
            raise ModelNotFound(f"Model '{name}' has no version {version}.")
        return ModelSource(
            registry="fake", uri="fake:", name=name, version=version, location=f"{name}/{version}"
        )

    async def read_mlmodel(self, source: ModelSource) -> bytes:
        """Return the `MLmodel` file of a version."""
        return self.models[source.name, source.version]

    async def download(self, source: ModelSource, into: Path, progress: Progress) -> None:
        """Never used by the control plane."""
        raise NotImplementedError


class FakeLauncher:
    """Says what a launcher would, straight to the store."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def connect(
        self,
        memory_bytes: int = 16 * GIB,
        devices: Sequence[Device] = (),
        lease_ms: int = 10_000,
    ) -> None:
        """Become the active launcher of the pool."""
        async with self._database.write() as transaction:
            now_ms = self._clock()
            wanted = Claim("default", "launcher-1", "local", now_ms + lease_ms)
            await launchers.claim(transaction, wanted, now_ms)
            capacity = Capacity(
                memory_bytes=memory_bytes, cpus=8, gpus=len(devices), devices=devices
            )
            await launchers.save_capacity(transaction, "default", "launcher-1", capacity)

    async def groups(self) -> Mapping[str, StoredGroup]:
        """Return all groups by the name of their entity."""
        async with self._database.read() as session:
            return {group.served_entity_name: group for group in await groups.load(session, None)}

    async def say(
        self,
        phase: GroupPhase,
        *,
        version: str = "",
        message: str = "",
        step: GroupStep = GroupStep.WAITING,
    ) -> None:
        """Say how the groups are that serve a version of a model; without one, how all are."""
        async with self._database.write() as transaction:
            for group in await groups.load(transaction.session, None):
                if version not in ("", group.model.source.version):
                    continue
                ready = phase is GroupPhase.READY
                replicas = (Replica(id="r", address="127.0.0.1:1"),) if ready else ()
                told = replace(
                    group,
                    phase=phase,
                    progress=step,
                    message=message,
                    ready_once=group.ready_once or ready,
                    replicas=replicas,
                    desired=0 if phase is GroupPhase.IDLE else group.desired,
                )
                await groups.save(transaction, [told])
                await groups.tell(transaction, [told])
