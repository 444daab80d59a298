"""A worker that keeps its stream and takes nothing from it holds up the others for a while only."""

from functools import partial

from modelplane.control_plane.snapshots.laggards import STUCK_MS, Laggards
from tests.control_plane.conftest import FakeClock
from tests.control_plane.snapshots.conftest import (
    PushSide,
    begin_rollout,
    eventually,
    settle,
    touch_endpoint,
)


def has_arrived(side: PushSide, revision: int) -> bool:
    return side.watchers.fastest() >= revision


def all_follow(side: PushSide, revision: int) -> bool:
    return not side.watchers.behind(revision)


async def test_a_stuck_worker_is_told_to_come_back(side: PushSide) -> None:
    steady = FakeClock()
    laggards = Laggards(side.cache, side.watchers, steady)
    await begin_rollout(side.database, "a")
    await settle(side.database, "a")
    await side.follower("good")
    stuck = await side.connect("stuck")
    await stuck.hello()
    chunk = (await stuck.snapshot())[-1]
    await stuck.ack(chunk.revision)
    await eventually(lambda: not side.watchers.behind(chunk.revision))
    for _ in range(3):
        # It moves, however slowly.
        revision = await touch_endpoint(side.database, "a")
        await eventually(partial(has_arrived, side, revision))
        laggards.look()
        steady.now_ms += STUCK_MS
        laggards.look()
        await stuck.ack(revision)
        await eventually(partial(all_follow, side, revision))
    steady.now_ms += 10 * STUCK_MS
    laggards.look()
    assert side.connected("stuck")
    revision = await touch_endpoint(side.database, "a")
    await eventually(partial(has_arrived, side, revision))
    laggards.look()
    steady.now_ms += STUCK_MS + 1
    laggards.look()
    assert [watcher.worker_id for watcher in side.watchers] == ["good"]
    assert laggards.dropped._value.get() == 1
    await side.rollout.wait_applied(revision)
    assert side.rollout.early_answers._value.get() == 0
