"""The push side of a control plane on a real database and a real port, and workers by hand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import grpc
import pytest
from modelserving.v1.endpoint_pb2 import EndpointConfig
from modelserving.worker.v1.snapshot_service_pb2 import (
    Ack,
    Hello,
    Nack,
    SnapshotChunk,
    WatchConfigRequest,
    WatchConfigResponse,
)
from modelserving.worker.v1.snapshot_service_pb2_grpc import (
    SnapshotServiceStub,
)
from prometheus_client import CollectorRegistry
from sqlmodel import col, select, update

from modelplane.adapters.shared.rpc.server import Health, new_server, running
from modelplane.control_plane.clock import Clock, steady_clock, system_clock
from modelplane.control_plane.hosting.demand import DemandIntake
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.keyring import FixedKeys
from modelplane.control_plane.shared_clock import SharedClock
from modelplane.control_plane.snapshots.builder import ResourceBuilder
from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.snapshots.feed import Feed
from modelplane.control_plane.snapshots.peers import NoPeers, PostgresqlPeers
from modelplane.control_plane.snapshots.rollout_driver import RolloutDriver, Timeouts
from modelplane.control_plane.snapshots.servicer import SnapshotServicer, add_snapshot_servicer
from modelplane.control_plane.snapshots.watchers import Watchers
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import records, rollout_records
from modelplane.control_plane.store.endpoints.records import StoredEndpoint
from modelplane.control_plane.store.notifications import listen
from modelplane.control_plane.store.states import EventKind, LastUpdate, Phase
from modelplane.control_plane.store.tables import EndpointConfigRow, EndpointRow


async def begin_rollout(database: Database, name: str) -> int:
    """Create the endpoint if it is new, and begin a rollout of its next version; return it."""
    async with database.write() as transaction:
        session = transaction.session
        query = select(EndpointRow).where(col(EndpointRow.name) == name)
        row = (await session.exec(query)).first()
        if row is None:
            row = EndpointRow(
                id=f"id-{name}",
                name=name,
                creator="a",
                creator_id="1",
                created_ms=1,
                updated_ms=1,
                settings=b"",
            )
            session.add(row)
            await session.flush()
        row.last_version += 1
        row.pending_version = row.last_version
        row.phase = Phase.PREPARING
        row.phase_revision = await transaction.revise(EventKind.ENDPOINT, row.id)
        session.add(
            EndpointConfigRow(
                endpoint_id=row.id,
                version=row.last_version,
                config=EndpointConfig(config_version=row.last_version).SerializeToString(),
                creator="a",
                created_ms=1,
            )
        )
        await session.flush()
        await rollout_records.begin(transaction, row.id, row.last_version, row.phase_revision)
        return row.last_version


async def delete_endpoint(database: Database, name: str) -> None:
    """Delete an endpoint as the API does."""
    async with database.write() as transaction:
        query = select(EndpointRow).where(col(EndpointRow.name) == name)
        await transaction.session.delete((await transaction.session.exec(query)).one())
        await transaction.revise(EventKind.ENDPOINT, f"id-{name}")


async def touch_endpoint(database: Database, name: str) -> int:
    """Record a change of an endpoint that is no rollout; return its revision."""
    async with database.write() as transaction:
        return await transaction.revise(EventKind.ENDPOINT, f"id-{name}")


async def read_endpoint(database: Database, name: str) -> EndpointRow:
    """Return the endpoint's row."""
    async with database.read() as session:
        query = select(EndpointRow).where(col(EndpointRow.name) == name)
        return (await session.exec(query)).one()


async def read_record(database: Database, name: str) -> StoredEndpoint:
    """Return the endpoint as the API reads it."""
    async with database.read() as session:
        record = await records.find(session, name)
    assert record is not None
    return record


async def settle(database: Database, name: str) -> None:
    """Make the pending version active without any worker, as if rolled out long ago."""
    async with database.write() as transaction:
        await transaction.session.exec(
            update(EndpointRow)
            .where(col(EndpointRow.name) == name)
            .values(
                phase=Phase.SETTLED,
                active_version=EndpointRow.pending_version,
                pending_version=None,
                ready=True,
                last_update=LastUpdate.NOT_UPDATING,
            )
        )


@dataclass
class FakeWorker:
    """A worker whose every message is sent by the test."""

    worker_id: str
    call: "grpc.aio.StreamStreamCall[WatchConfigRequest, WatchConfigResponse]"
    # A stream takes one message at a time.
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def send(self, message: WatchConfigRequest) -> None:
        """Send any message."""
        async with self.writing:
            await self.call.write(message)

    async def hello(self, last_revision: int = 0, store_id: str = "") -> None:
        """Introduce the worker."""
        hello = Hello(
            worker_id=self.worker_id, build="test", last_revision=last_revision, store_id=store_id
        )
        await self.send(WatchConfigRequest(hello=hello))

    async def next(self) -> WatchConfigResponse:
        """Return the next message that is no heartbeat."""
        while True:
            async with asyncio.timeout(60):
                message = await self.call.read()
            assert isinstance(message, WatchConfigResponse), "the stream ended"
            if not message.HasField("heartbeat"):
                return message

    async def snapshot(self) -> list[SnapshotChunk]:
        """Return all parts of the full snapshot that comes next."""
        chunks: list[SnapshotChunk] = []
        while not chunks or not chunks[-1].last:
            message = await self.next()
            assert message.HasField("snapshot")
            chunks.append(message.snapshot)
        return chunks

    async def ack(self, revision: int) -> None:
        """Acknowledge a revision."""
        await self.send(WatchConfigRequest(ack=Ack(revision=revision)))

    async def nack(
        self, revision: int, name: str, version: int, reason: str, *, serving: bool = False
    ) -> None:
        """Refuse a version of an endpoint."""
        nack = Nack(
            revision=revision,
            endpoint_id=f"id-{name}",
            config_version=version,
            reason=reason,
            serving=serving,
        )
        await self.send(WatchConfigRequest(nack=nack))

    async def follow(self) -> None:
        """Acknowledge whatever comes, until cancelled."""
        while True:
            message = await self.next()
            if message.HasField("delta"):
                await self.ack(message.delta.revision)
            elif message.snapshot.last:
                await self.ack(message.snapshot.revision)


@dataclass
class PushSide:
    """One control-plane replica without its public API."""

    database: Database
    cache: SnapshotCache
    watchers: Watchers
    rollout: RolloutDriver
    port: int
    stack: AsyncExitStack
    followers: list[asyncio.Task[None]] = field(default_factory=list)

    async def connect(self, worker_id: str) -> FakeWorker:
        """Open a watch stream, without a Hello."""
        channel = await self.stack.enter_async_context(
            grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")
        )
        call = SnapshotServiceStub(channel).WatchConfig()
        return FakeWorker(worker_id, call)

    async def follower(self, worker_id: str) -> FakeWorker:
        """Connect a worker that acknowledges everything."""
        worker = await self.connect(worker_id)
        await worker.hello()
        self.followers.append(asyncio.create_task(worker.follow()))
        await eventually(
            lambda: not self.watchers.behind(self.cache.revision) and self.connected(worker_id)
        )
        return worker

    def connected(self, worker_id: str) -> bool:
        """Tell whether the worker has a stream."""
        return worker_id in {watcher.worker_id for watcher in self.watchers}


async def eventually(condition: Callable[[], bool]) -> None:
    """Return once `condition` holds; fail when it does not within a minute."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def _others_first(seconds: float) -> None:
    del seconds
    await asyncio.sleep(0)


def intake(
    side: tuple[Database, SnapshotCache, Clock],
    tasks: asyncio.TaskGroup,
    stack: AsyncExitStack,
) -> DemandIntake:
    """Run what takes the demand of workers, and stores it with what comes meanwhile, not later."""
    database, cache, clock = side
    demand = DemandIntake(
        database, SharedClock(clock), cache.group, CollectorRegistry(), sleep=_others_first
    )
    for loop in (demand.run, demand.run_wakes):
        stack.callback(tasks.create_task(loop()).cancel)
    return demand


@asynccontextmanager
async def push_side(
    database: Database,
    *,
    replica_id: str = "replica",
    timeouts: Timeouts | None = None,
    clock: Clock = system_clock,
    steady: Clock = steady_clock,
) -> AsyncIterator[PushSide]:
    """Run the push side of a replica on a free port."""
    async with AsyncExitStack() as stack:
        resolver = CredentialResolver(Sealer(FixedKeys(bytes(32))))
        cache = SnapshotCache(database, ResourceBuilder(resolver))
        await cache.load()
        watchers = Watchers(replica_id)
        peers = (
            PostgresqlPeers(replica_id, database, cache, watchers)
            if database.is_postgresql
            else NoPeers()
        )
        rollout = RolloutDriver(
            database,
            watchers,
            peers,
            clock,
            cache.changed_at,
            timeouts=timeouts,
            steady=steady,
        )
        feed = Feed(database, cache, keep_events=10_000)
        database.on_commit(feed.hint)
        cache.on_change(watchers.wake_all)
        cache.on_change(rollout.hint)
        watchers.on_move(rollout.moved)
        loops = [feed.run(), rollout.run()]
        if isinstance(peers, PostgresqlPeers):
            cache.on_change(peers.hint)
            watchers.on_move(peers.hint)
            loops += [peers.run(), listen(database, [feed.hint, rollout.hint], [rollout.moved])]
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for task in [tasks.create_task(loop) for loop in loops]:
            stack.callback(task.cancel)
        server = new_server([], Health().servicer)
        demand = intake((database, cache, clock), tasks, stack)
        add_snapshot_servicer(
            SnapshotServicer(cache, watchers, rollout, demand, heartbeat_seconds=0.05), server
        )
        port = await stack.enter_async_context(running(server, "127.0.0.1:0", 0))
        side = PushSide(database, cache, watchers, rollout, port, stack)
        try:
            yield side
        finally:
            for follower in side.followers:
                follower.cancel()


@pytest.fixture
async def side(database: Database) -> AsyncIterator[PushSide]:
    """The push side of a replica."""
    async with push_side(database) as running_side:
        yield running_side
