"""Scaling by what workers say on their watch streams."""

from collections.abc import AsyncIterator, Callable

import pytest
from modelserving.launcher.v1 import launcher_service_pb2 as pb
from modelserving.store.v1.hosting_pb2 import HostedModel

from modelplane.control_plane.hosting.scaling import ScaleSettings
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.hosting.demand import read_demand
from modelplane.control_plane.store.hosting.groups import StoredGroup
from modelplane.control_plane.store.states import GroupPhase
from tests.control_plane.configs import hosted_model, hosting_version
from tests.control_plane.conftest import FakeClock
from tests.control_plane.hosting.sides import (
    FakeLauncher,
    HostSide,
    ask,
    host_side,
    is_known_as_idle,
    is_settled,
    until,
    wake,
)
from tests.control_plane.snapshots.conftest import FakeWorker

DOWN_MS, ZERO_MS = 60_000, 600_000
MODEL = hosted_model("a", least=1, most=4)


@pytest.fixture
async def side(database: Database, live_clock: FakeClock) -> AsyncIterator[HostSide]:
    settings = ScaleSettings(down_ms=DOWN_MS, zero_ms=ZERO_MS)
    async with host_side(database, live_clock, settings) as running_side:
        yield running_side


async def deployed(side: HostSide, model: HostedModel = MODEL) -> tuple[FakeWorker, FakeLauncher]:
    worker = await side.push.follower("w1")
    launcher = await side.launcher()
    await side.deploy(hosting_version(1, model))
    await is_settled(side)
    return worker, launcher


async def asked(
    side: HostSide,
    worker: FakeWorker,
    *,
    in_flight: float,
    waiting: int = 0,
    tokens: float = 0,
) -> None:
    """Say how much is asked, and have it judged."""
    await ask(worker, "group-a", in_flight=in_flight, waiting=waiting, tokens=tokens)

    async def is_stored() -> bool:
        async with side.push.database.read() as session:
            told = (await read_demand(session, 0)).get("group-a", [])
        return any(
            (item.demand.in_flight, item.demand.waiting, item.updated_ms)
            == (in_flight, waiting, side.clock.now_ms)
            for item in told
        )

    await until(is_stored)
    await side.scaler.step()


async def runs(side: HostSide, launcher: FakeLauncher, count: int) -> None:
    """Return once the launcher was told of so many replicas, and runs them."""

    async def holds() -> bool:
        told, group = (launcher.desired or {})["group-a"], await side.group()
        if told.replicas == len(group.replicas) == count:
            return True
        # As each second: what changed while the scaler looked is judged when it looks again.
        await side.scaler.step()
        return False

    await until(holds)


async def judged(side: HostSide, holds: Callable[[StoredGroup], bool]) -> None:
    """Return once the scaler has made that of the group: see `runs`."""

    async def is_so() -> bool:
        await side.scaler.step()
        return holds(await side.group())

    await until(is_so)


async def test_from_one_to_three_to_zero_and_back(side: HostSide) -> None:
    worker, launcher = await deployed(side)
    await runs(side, launcher, 1)
    await asked(side, worker, in_flight=4, waiting=4)
    await runs(side, launcher, 3)
    side.clock.now_ms += DOWN_MS // 2
    await asked(side, worker, in_flight=4, waiting=4)
    # Then there is little to do, but fewer must do for a while from when so many were needed last.
    side.clock.now_ms += DOWN_MS - 1
    await asked(side, worker, in_flight=1)
    assert (await side.group()).desired == 3
    side.clock.now_ms += DOWN_MS
    await asked(side, worker, in_flight=1)
    await runs(side, launcher, 1)
    # One request that goes on keeps it there.
    side.clock.now_ms += ZERO_MS
    await asked(side, worker, in_flight=1)
    await runs(side, launcher, 1)
    await asked(side, worker, in_flight=0)
    side.clock.now_ms += ZERO_MS
    await side.scaler.step()
    await runs(side, launcher, 0)
    assert (await side.group()).phase is GroupPhase.IDLE
    await is_known_as_idle(side)
    await wake(worker, "group-a")
    await runs(side, launcher, 1)


async def test_replicas_follow_the_tokens_where_these_are_provisioned(side: HostSide) -> None:
    model = hosted_model("a", least=1, most=3)
    model.scale.throughput_chunk = 80
    worker, launcher = await deployed(side, model)
    await runs(side, launcher, 1)
    for _ in range(5):
        side.clock.now_ms += 1_000
        # Many small requests are no reason for another replica, as long as none waits.
        await asked(side, worker, in_flight=4, tokens=80)
    await runs(side, launcher, 1)
    for _ in range(20):
        side.clock.now_ms += 1_000
        await asked(side, worker, in_flight=4, tokens=200)
    await runs(side, launcher, 3)
    side.clock.now_ms += DOWN_MS + 1
    await asked(side, worker, in_flight=1, tokens=10)
    await runs(side, launcher, 1)


async def test_the_time_of_the_last_request_outlives_the_replica(side: HostSide) -> None:
    worker, _ = await deployed(side)
    begun_ms = (await side.group()).last_request_ms
    side.clock.now_ms += ZERO_MS // 2
    await asked(side, worker, in_flight=1)
    await judged(side, lambda group: group.last_request_ms == begun_ms + ZERO_MS // 2)


async def test_a_group_that_serves_and_fails_is_tried_again_later(side: HostSide) -> None:
    _, launcher = await deployed(side)
    launcher.fail("group-a", "three deaths within a minute")
    await launcher.report()

    async def has_failed() -> bool:
        return (await side.group()).phase is GroupPhase.FAILED

    await until(has_failed)
    assert not (await side.endpoint()).ready
    await side.scaler.step()
    side.clock.now_ms += 300_000
    launcher.says.clear()
    await side.scaler.step()
    await runs(side, launcher, 1)
    assert (await side.endpoint()).ready


async def test_a_model_is_idle_from_when_it_can_be_asked(side: HostSide) -> None:
    await side.push.follower("w1")
    launcher = await side.launcher()
    launcher.says["group-a"] = pb.GroupReport(
        group_id="group-a", generation=1, progress=pb.GROUP_PROGRESS_BUILDING_ENVIRONMENT
    )
    await side.deploy(hosting_version(1, MODEL))

    async def is_building() -> bool:
        return bool(launcher.desired)

    await until(is_building)
    # That takes as long as it may be idle.
    side.clock.now_ms += ZERO_MS
    await side.scaler.step()
    launcher.says.clear()
    await launcher.report()
    await is_settled(side)
    await side.scaler.step()
    assert (await side.group()).desired == 1
    side.clock.now_ms += ZERO_MS
    await judged(side, lambda group: group.desired == 0)
