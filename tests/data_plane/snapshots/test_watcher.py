import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest
from modelserving.v1.endpoint_pb2 import EndpointConfig
from modelserving.worker.v1 import snapshot_service_pb2 as pb
from prometheus_client import CollectorRegistry

from modelplane.adapters.shared.rpc.control_link import ControlLink
from modelplane.data_plane.hosting.groups import Groups
from modelplane.data_plane.process import Clocks
from modelplane.data_plane.snapshots.config_metrics import ConfigMetrics
from modelplane.data_plane.snapshots.readiness import Readiness
from modelplane.data_plane.snapshots.snapshot import Snapshots
from modelplane.data_plane.snapshots.watcher import SnapshotWatcher, Source
from tests.data_plane.fakes import FakeClock, FakeControlPlane
from tests.data_plane.messages import (
    delta,
    endpoint,
    endpoint_config,
    external_entity,
    heartbeat,
    snapshot,
)


class Watching:
    """A watcher at work, with a record of its pauses."""

    def __init__(self, targets: list[str], clock: FakeClock) -> None:
        self.snapshots = Snapshots(Groups(Random(1), 1 << 20))
        self.readiness = Readiness(clock)
        self.registry = CollectorRegistry()
        self.pauses: list[float] = []
        self.forgotten: list[str] = []
        self.paused = asyncio.Event()
        self._go = asyncio.Event()
        self.watcher = SnapshotWatcher(
            Source(ControlLink(targets, None), "worker-1", "test"),
            self.snapshots,
            self.readiness,
            ConfigMetrics(self.registry),
            Clocks(clock, self._sleep, Random(1)),
            self.forgotten.append,
        )

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.paused.set()
        await self._go.wait()
        self._go.clear()

    async def until_paused(self) -> None:
        await asyncio.wait_for(self.paused.wait(), 120)
        self.paused.clear()

    def go_on(self) -> None:
        self._go.set()


@pytest.fixture
async def watching(control_plane: FakeControlPlane, clock: FakeClock) -> AsyncIterator[Watching]:
    async for one in watch([control_plane.target], clock):
        yield one


async def watch(targets: list[str], clock: FakeClock) -> AsyncIterator[Watching]:
    one = Watching(targets, clock)
    task = asyncio.create_task(one.watcher.run())
    yield one
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def config(version: int = 1, key: str = "sk-key") -> EndpointConfig:
    entity = external_entity(openai_api_key_plaintext=key)
    return endpoint_config(entity, version=version)


async def hello(control_plane: FakeControlPlane) -> pb.Hello:
    message = await control_plane.next()
    assert message.WhichOneof("message") == "hello"
    return message.hello


async def test_a_snapshot_counts_once_its_last_part_is_there(
    watching: Watching, control_plane: FakeControlPlane
) -> None:
    first = await hello(control_plane)
    assert (first.worker_id, first.last_revision, first.store_id) == ("worker-1", 0, "")
    control_plane.push(snapshot(7, endpoint("a", config()), last=False))
    control_plane.push(snapshot(7, endpoint("b", config()), tokens=()))
    assert (await control_plane.next()).ack.revision == 7
    current = watching.snapshots.current
    assert (set(current.names), current.revision, current.store_id) == ({"a", "b"}, 7, "store")
    assert len(current.callers.digests) == 1
    assert watching.readiness.serving()
    assert watching.registry.get_sample_value("modelplane_applied_revision") == 7
    assert watching.registry.get_sample_value("modelplane_control_plane_connected") == 1


async def test_each_change_is_acknowledged_once(
    watching: Watching, control_plane: FakeControlPlane
) -> None:
    await hello(control_plane)
    control_plane.push(snapshot(1, endpoint("a", config())))
    control_plane.push(delta(2, endpoint("a", config(1), prepared=config(2))))
    control_plane.push(delta(9, endpoint("a", config(2)), endpoint("b", config())))
    control_plane.push(delta(10, removed_endpoint_ids=["id-b"], removed_token_ids=["token-1"]))
    acks = [(await control_plane.next()).ack.revision for _ in range(4)]
    assert acks == [1, 2, 9, 10]
    current = watching.snapshots.current
    assert set(current.names) == {"a"}
    assert current.names["a"].active is not None
    assert current.names["a"].active.version == 2
    assert not current.callers.digests
    assert watching.forgotten == ["b"]
    assert control_plane.received.empty()


async def test_a_refused_endpoint_is_named_before_the_ack(
    watching: Watching, control_plane: FakeControlPlane
) -> None:
    await hello(control_plane)
    control_plane.push(snapshot(1, endpoint("a", config()), endpoint("b", config())))
    assert (await control_plane.next()).ack.revision == 1
    control_plane.push(
        delta(
            2,
            endpoint("a", config(), prepared=config(2, key="")),
            endpoint("b", config(3, key="")),
            endpoint("c", config()),
        )
    )
    answers = [await control_plane.next() for _ in range(3)]
    assert [answer.WhichOneof("message") for answer in answers] == ["nack", "nack", "ack"]
    first, second = answers[0].nack, answers[1].nack
    assert (first.revision, first.endpoint_id, first.config_version) == (2, "id-a", 2)
    assert (second.endpoint_id, second.config_version) == ("id-b", 3)
    assert "openai_api_key" in first.reason
    names = watching.snapshots.current.names
    assert set(names) == {"a", "b", "c"}
    assert names["b"].active is not None
    assert names["b"].active.version == 1


async def test_the_watcher_resumes_where_it_was(
    watching: Watching, control_plane: FakeControlPlane
) -> None:
    await hello(control_plane)
    control_plane.push(snapshot(5, endpoint("a", config())))
    await control_plane.next()
    control_plane.push(None)
    await watching.until_paused()
    assert watching.registry.get_sample_value("modelplane_control_plane_connected") == 0
    assert watching.readiness.serving(), "the last known good configuration goes on"
    watching.go_on()
    again = await hello(control_plane)
    assert (again.last_revision, again.store_id) == (5, "store")
    control_plane.push(delta(6, endpoint("b", config())))
    assert (await control_plane.next()).ack.revision == 6
    assert set(watching.snapshots.current.names) == {"a", "b"}


async def test_the_watcher_says_whether_it_holds_values(
    watching: Watching, control_plane: FakeControlPlane
) -> None:
    first = await hello(control_plane)
    assert (first.takes_secrets, first.holds_values) == (True, False)
    # Of a control plane of the release before.
    control_plane.push(snapshot(5, endpoint("a", config())), None)
    await watching.until_paused()
    watching.go_on()
    again = await hello(control_plane)
    assert (again.last_revision, again.holds_values) == (5, True)


async def test_a_half_received_snapshot_is_forgotten(
    watching: Watching, control_plane: FakeControlPlane
) -> None:
    await hello(control_plane)
    control_plane.push(snapshot(5, endpoint("a", config()), last=False), None)
    await watching.until_paused()
    watching.go_on()
    assert (await hello(control_plane)).last_revision == 0
    control_plane.push(snapshot(2, endpoint("b", config()), store_id="store-2"))
    assert (await control_plane.next()).ack.revision == 2
    assert set(watching.snapshots.current.names) == {"b"}
    assert watching.snapshots.current.store_id == "store-2"


async def test_a_resync_may_go_back_in_revisions(
    watching: Watching, control_plane: FakeControlPlane
) -> None:
    await hello(control_plane)
    control_plane.push(snapshot(50, endpoint("a", config())))
    await control_plane.next()
    control_plane.push(snapshot(3, endpoint("a", config()), store_id="restored"))
    assert (await control_plane.next()).ack.revision == 3
    assert watching.snapshots.current.revision == 3
    assert watching.readiness.serving()


async def test_a_heartbeat_tells_how_far_behind_the_worker_is(
    watching: Watching, control_plane: FakeControlPlane, clock: FakeClock
) -> None:
    await hello(control_plane)
    control_plane.push(snapshot(1), heartbeat(3), delta(1))
    for _ in range(2):
        await control_plane.next()
    assert watching.readiness.serving()
    for _ in range(9):
        clock.now += 0.25
        watching.readiness.tick()
    assert not watching.readiness.serving()
    control_plane.push(delta(3))
    await control_plane.next()
    assert watching.readiness.serving()


async def test_pauses_grow_up_to_a_bound_and_end_with_success(
    watching: Watching, control_plane: FakeControlPlane
) -> None:
    await hello(control_plane)
    await control_plane.stop()
    for _ in range(12):
        await watching.until_paused()
        watching.go_on()
    # Of a control plane on this machine.
    bounds = [min(0.2, 0.1 * 2 ** (n + 1)) for n in range(12)]
    assert all(0 <= pause <= bound for pause, bound in zip(watching.pauses, bounds, strict=False))
    assert len(set(watching.pauses)) > 6
    assert max(watching.pauses) > 0.1
    await watching.until_paused()
    await control_plane.start()
    watching.go_on()
    await hello(control_plane)
    control_plane.push(snapshot(1))
    await control_plane.next()
    count = len(watching.pauses)
    control_plane.push(None)
    await watching.until_paused()
    assert watching.pauses[count] <= 0.1


async def test_another_target_is_tried_next(
    control_plane: FakeControlPlane, clock: FakeClock
) -> None:
    async for one in watch(["127.0.0.1:9", control_plane.target], clock):
        await one.until_paused()
        one.go_on()
        await hello(control_plane)
        control_plane.push(snapshot(1))
        assert (await control_plane.next()).ack.revision == 1


async def test_a_stopped_worker_asks_again_before_it_serves(
    watching: Watching, control_plane: FakeControlPlane, clock: FakeClock
) -> None:
    await hello(control_plane)
    control_plane.push(snapshot(1, endpoint("a", config())))
    await control_plane.next()
    clock.now += 10
    control_plane.push(None)
    await watching.until_paused()
    assert not watching.readiness.serving(), "a stream that ended is not an absent control plane"
    watching.go_on()
    await hello(control_plane)
    control_plane.push(delta(2, endpoint("a", config(2))))
    await control_plane.next()
    assert not watching.readiness.serving()
    clock.now += 0.5
    control_plane.push(heartbeat(2), delta(2))
    await control_plane.next()
    assert watching.readiness.serving()


async def test_a_stopped_worker_serves_once_nobody_can_be_asked(
    watching: Watching, control_plane: FakeControlPlane, clock: FakeClock
) -> None:
    await hello(control_plane)
    control_plane.push(snapshot(1, endpoint("a", config())))
    await control_plane.next()
    clock.now += 10
    await control_plane.stop()
    await watching.until_paused()
    assert not watching.readiness.serving()
    watching.go_on()
    await watching.until_paused()
    assert watching.readiness.serving()
