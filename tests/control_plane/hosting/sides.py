"""A control-plane replica that hosts models, on real ports, and launchers by hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

import grpc
from modelserving.launcher.v1 import launcher_service_pb2 as pb
from modelserving.launcher.v1.launcher_service_pb2_grpc import (
    LauncherServiceStub,
    add_LauncherServiceServicer_to_server,
)
from modelserving.worker.v1 import hosting_pb2
from modelserving.worker.v1.hosting_pb2 import DemandReport, GroupDemand, Wake
from modelserving.worker.v1.snapshot_service_pb2 import WatchConfigRequest

from modelplane.adapters.registries.kinds import RegistryPlace
from modelplane.adapters.shared.rpc.server import Health, new_server, running
from modelplane.control_plane.endpoints.metrics import EndpointMetrics
from modelplane.control_plane.hosting.engine_figures import EngineNotes
from modelplane.control_plane.hosting.launcher_servicer import LauncherServicer
from modelplane.control_plane.hosting.measurements import Measurements
from modelplane.control_plane.hosting.pool import Pool
from modelplane.control_plane.hosting.scaling import Scaler, ScaleSettings
from modelplane.control_plane.hosting.specs import Specs, SpecSettings
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.keyring import FixedKeys
from modelplane.control_plane.shared_clock import SharedClock
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import changes, records
from modelplane.control_plane.store.endpoints.changes import NewVersion
from modelplane.control_plane.store.endpoints.records import StoredEndpoint
from modelplane.control_plane.store.hosting.groups import StoredGroup
from modelplane.control_plane.store.states import Phase
from tests.control_plane.configs import new_endpoint
from tests.control_plane.conftest import FakeClock
from tests.control_plane.snapshots.conftest import FakeWorker, PushSide, push_side

REGISTRY = RegistryPlace("unity-catalog", "http://uc.test:8080", "bearer t")
CALIBRATION_MS = 1_500
_READY = pb.GROUP_PROGRESS_READY


@dataclass
class FakeLauncher:
    """A launcher that says of each group what the test wants it to."""

    call: "grpc.aio.StreamStreamCall[pb.SyncRequest, pb.SyncResponse]"
    # What it was told last; None: nothing, or that it is on standby.
    desired: dict[str, pb.GroupSpec] | None = None
    # What it was told of that so far, while more follows.
    part: dict[str, pb.GroupSpec] = field(default_factory=dict)
    standby_of: str = ""
    # Groups of which it says something else than that all is ready.
    says: dict[str, pb.GroupReport] = field(default_factory=dict)
    # What it measures where it is told to, tokens per second.
    measures: float = 0.0
    # What the engine of each replica says of itself.
    engine: pb.EngineFigures | None = None
    # Whether it says anything.
    reports: bool = True
    told: asyncio.Event = field(default_factory=asyncio.Event)
    # A stream takes one message at a time.
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Do as it is told, until the stream ends."""
        async for message in self.call:
            if message.HasField("standby"):
                self.desired, self.standby_of = None, message.standby.active_launcher_id
            else:
                self.part |= {group.id: group for group in message.desired.groups}
                if message.desired.continues:
                    continue
                self.desired, self.part = self.part, {}
                self.standby_of = ""
            self.told.set()
            await self.report()

    async def report(self, *logs: pb.GroupLog) -> None:
        """Say what runs."""
        if self.reports:
            groups = [self._report(spec) for spec in (self.desired or {}).values()]
            report = pb.Report(groups=groups, capacity=pb.Capacity(cpus=2), logs=logs)
            async with self.writing:
                await self.call.write(pb.SyncRequest(report=report))

    def fail(self, group_id: str, reason: str) -> None:
        """Say from now on that a group has failed."""
        generation = (self.desired or {})[group_id].generation
        self.says[group_id] = pb.GroupReport(
            group_id=group_id,
            generation=generation,
            progress=pb.GROUP_PROGRESS_FAILED,
            message=reason,
        )

    def _report(self, spec: pb.GroupSpec) -> pb.GroupReport:
        if spec.id in self.says:
            return self.says[spec.id]
        replicas = [
            pb.ReplicaReport(
                id=f"{spec.id}-{number}",
                phase=pb.REPLICA_PHASE_READY,
                address=f"127.0.0.1:{9000 + number}",
                token="token",
                engine=self.engine,
            )
            for number in range(spec.replicas)
        ]
        return pb.GroupReport(
            group_id=spec.id,
            generation=spec.generation,
            progress=_READY,
            replicas=replicas,
            start_ms=1234,
            tokens_per_second=self.measures if spec.calibration_ms else 0.0,
        )


@dataclass
class HostSide:
    """One control-plane replica without its public API."""

    push: PushSide
    pool: Pool
    launchers: LauncherServicer
    scaler: Scaler
    port: int
    clock: FakeClock
    stack: AsyncExitStack

    async def launcher(
        self, launcher_id: str = "l1", *, pool: str = "default", backend: str = "local"
    ) -> FakeLauncher:
        """Connect a launcher that does as it is told."""
        launcher = FakeLauncher(await self.call(launcher_id, pool, backend))
        task = asyncio.create_task(launcher.run())
        self.stack.callback(task.cancel)
        self.stack.callback(launcher.call.cancel)
        return launcher

    async def call(
        self, launcher_id: str, pool: str = "default", backend: str = "local"
    ) -> "grpc.aio.StreamStreamCall[pb.SyncRequest, pb.SyncResponse]":
        """Open a launcher's stream and introduce it."""
        channel = await self.stack.enter_async_context(
            grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")
        )
        call = LauncherServiceStub(channel).Sync()
        hello = pb.Hello(launcher_id=launcher_id, pool=pool, backend=backend, build="test")
        await call.write(pb.SyncRequest(hello=hello))
        return call

    async def group(self, group_id: str = "group-a") -> StoredGroup:
        """Return a group as it is stored."""
        return (await self.endpoint()).groups[group_id]

    async def endpoint(self) -> StoredEndpoint:
        """Return the endpoint as the API reads it."""
        async with self.push.database.read() as session:
            record = await records.find(session, "name-e")
        assert record is not None
        return record

    async def deploy(self, new: NewVersion) -> None:
        """Begin to roll out a version of the endpoint, which is made with the first."""
        async with self.push.database.write() as transaction:
            if await records.find(transaction.session, "name-e") is None:
                await changes.insert(transaction, new_endpoint("e"))
            now_ms = self.clock.now_ms
            new = replace(new, created_ms=now_ms)
            await changes.begin_rollout(transaction, "e", new)


@asynccontextmanager
async def host_side(
    database: Database,
    clock: FakeClock,
    settings: ScaleSettings | None = None,
    replica_id: str = "replica",
) -> AsyncIterator[HostSide]:
    """Run a replica on free ports; its scaler looks when it is told to."""
    async with AsyncExitStack() as stack:
        push = await stack.enter_async_context(
            push_side(database, replica_id=replica_id, clock=clock)
        )
        resolver = CredentialResolver(Sealer(FixedKeys(bytes(32))))
        shared = SharedClock(clock)
        measurements = Measurements(database, shared, "default")
        specs = Specs(
            resolver, measurements, SpecSettings(registry=REGISTRY, calibration_ms=CALIBRATION_MS)
        )
        engines = EngineNotes(EndpointMetrics(database, clock).note_engines)
        pool = Pool("default", database, specs, measurements, shared, engines)
        launchers = LauncherServicer(pool)
        stack.push_async_callback(launchers.aclose)
        database.on_commit(launchers.hint)
        push.cache.on_change(launchers.hint)
        scaler = Scaler(
            database,
            pool,
            shared,
            lambda: launchers.is_active,
            lambda: push.cache.holds_groups,
            settings or ScaleSettings(),
        )
        server = new_server([], Health().servicer)
        add_LauncherServiceServicer_to_server(launchers, server)
        port = await stack.enter_async_context(running(server, "127.0.0.1:0", 0))
        async with AsyncExitStack() as clients:
            yield HostSide(push, pool, launchers, scaler, port, clock, clients)


async def wake(worker: FakeWorker, group_id: str) -> None:
    """Say that a request waits for a group."""
    message = WatchConfigRequest(wake=Wake(group_id=group_id, waiting=1))
    await worker.send(message)


async def is_known_as_idle(side: HostSide, group_id: str = "group-a") -> None:
    """Return once the replica takes a `wake` of a group: of one that runs it makes nothing."""

    async def holds() -> bool:
        group = side.push.cache.group(group_id)
        return group is not None and group.phase == hosting_pb2.GROUP_PHASE_IDLE

    await until(holds)


async def ask(
    worker: FakeWorker, group_id: str, *, in_flight: float, waiting: int = 0, tokens: float = 0
) -> None:
    """Say how much is asked of a group."""
    demand = GroupDemand(
        group_id=group_id, in_flight=in_flight, waiting=waiting, tokens_per_second=tokens
    )
    await worker.send(WatchConfigRequest(demand=DemandReport(groups=[demand])))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return once `condition` holds; the test's timeout bounds it."""
    while not await condition():
        await asyncio.sleep(0.005)


async def is_settled(side: HostSide) -> None:
    async def holds() -> bool:
        return (await side.endpoint()).phase is Phase.SETTLED

    await until(holds)
