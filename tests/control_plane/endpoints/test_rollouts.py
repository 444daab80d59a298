"""How versions were rolled out is told worker by worker, while it goes on and afterwards."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from modelserving.launcher.v1 import launcher_service_pb2 as launcher_pb
from modelserving.v1.rollout_pb2 import Rollout, RolloutWorker

from modelplane.control_plane.endpoints.rollouts import Rollouts
from modelplane.control_plane.endpoints.views import build_endpoint
from modelplane.control_plane.errors import NotFound
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.snapshots.rollout_driver import Timeouts
from modelplane.control_plane.store.database import Database, Session
from modelplane.control_plane.store.endpoints import changes, records, rollout_records, rollouts
from modelplane.control_plane.store.endpoints.records import StoredVersion
from modelplane.control_plane.store.endpoints.rollout_records import RolloutKey
from modelplane.control_plane.store.endpoints.rollouts import RolloutState
from tests.control_plane.configs import hosted_model, hosting_version
from tests.control_plane.conftest import FakeClock
from tests.control_plane.hosting.sides import FakeLauncher, HostSide, host_side, is_settled
from tests.control_plane.hosting.sides import until as until_so
from tests.control_plane.snapshots.conftest import (
    FakeWorker,
    PushSide,
    begin_rollout,
    delete_endpoint,
    eventually,
    push_side,
    read_record,
)

ADMIN = Principal("1", "ann", admin=True)
A, B = hosted_model("a"), hosted_model("b")


@pytest.fixture
async def side(database: Database) -> AsyncIterator[PushSide]:
    async with push_side(database) as running_side:
        yield running_side


async def told(side: PushSide, version: int) -> Rollout:
    return await Rollouts(side.database, side.rollout).get(ADMIN, "a", version)


async def until(side: PushSide, version: int, holds: Callable[[Rollout], bool]) -> Rollout:
    async with asyncio.timeout(60):
        while not holds(rollout := await told(side, version)):
            await asyncio.sleep(0.01)
    return rollout


async def stored(side: PushSide, version: int) -> Rollout:
    """Return a rollout that is over, as whoever has never seen its workers knows it."""
    async with asyncio.timeout(60):
        while True:
            async with side.database.read() as session:
                record = await rollout_records.find(session, ("id-a", version))
            if record and record.workers:
                break
            await asyncio.sleep(0.01)
    async with push_side(side.database, replica_id="another") as other:
        return await told(other, version)


def states(rollout: Rollout) -> dict[str, str]:
    return {worker.worker_id: worker.state for worker in rollout.workers}


async def quiet_worker(side: PushSide, worker_id: str) -> FakeWorker:
    worker = await side.connect(worker_id)
    await worker.hello()
    await worker.ack((await worker.snapshot())[-1].revision)
    return worker


async def test_each_step_of_each_worker_is_told_live_and_stays(side: PushSide) -> None:
    await side.follower("fast")
    slow = await quiet_worker(side, "slow")
    await begin_rollout(side.database, "a")
    preparing = await until(side, 1, lambda one: states(one).get("fast") == "PREPARED")
    assert (preparing.phase, preparing.outcome) == ("PREPARING", "PENDING")
    assert states(preparing) == {"slow": "WAITING", "fast": "PREPARED"}
    # Those first that the others wait for.
    assert [worker.worker_id for worker in preparing.workers] == ["slow", "fast"]
    assert not preparing.HasField("prepared_time")
    await side.rollout.step()
    left_ms = (await told(side, 1)).deadline_time - preparing.workers[1].prepared_time
    assert 0 < left_ms <= 20_000
    await slow.ack((await slow.next()).delta.revision)
    activating = await until(side, 1, lambda one: states(one).get("fast") == "ACTIVE")
    assert (activating.phase, states(activating)["slow"]) == ("ACTIVATING", "PREPARED")
    await slow.ack((await slow.next()).delta.revision)
    ended = await until(side, 1, lambda one: one.phase == "ENDED")
    assert (ended.outcome, states(ended)) == ("ACTIVE", {"slow": "ACTIVE", "fast": "ACTIVE"})
    assert not ended.HasField("deadline_time")
    for worker in ended.workers:
        assert (worker.build, worker.replica_id) == ("test", "replica")
        times = worker.prepared_time, ended.prepared_time, worker.active_time, ended.end_time
        assert sorted(times) == list(times)
    assert await stored(side, 1) == ended


async def test_a_step_that_is_taken_meanwhile_is_told_next_time(
    side: PushSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = [await quiet_worker(side, name) for name in ("fast", "slow")]
    await begin_rollout(side.database, "a")
    find = rollouts.find_in_progress

    async def find_and_step(session: Session, key: RolloutKey) -> RolloutState | None:
        found = await find(session, key)
        monkeypatch.undo()
        for worker in workers:
            await worker.ack((await worker.next()).delta.revision)
        fast = workers[0]
        await fast.ack((await fast.next()).delta.revision)
        await until(side, 1, lambda one: states(one)["fast"] == "ACTIVE")
        return found

    monkeypatch.setattr(rollouts, "find_in_progress", find_and_step)
    seen = await told(side, 1)
    assert (seen.phase, states(seen)) == ("PREPARING", {"slow": "PREPARED", "fast": "PREPARED"})
    assert not seen.HasField("prepared_time")
    assert (await told(side, 1)).phase == "ACTIVATING"


async def test_an_end_that_comes_meanwhile_is_told_next_time(
    side: PushSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await quiet_worker(side, "w1")
    await begin_rollout(side.database, "a")
    find = records.find_version

    async def find_and_end(
        session: Session, endpoint_id: str, version: int
    ) -> StoredVersion | None:
        found = await find(session, endpoint_id, version)
        monkeypatch.undo()
        for _ in ("prepare", "activate"):
            await worker.ack((await worker.next()).delta.revision)
        await stored(side, 1)
        return found

    monkeypatch.setattr(records, "find_version", find_and_end)
    seen = await told(side, 1)
    assert (seen.phase, states(seen)) == ("PREPARING", {"w1": "PREPARED"})
    assert not seen.workers[0].HasField("active_time")
    assert (await told(side, 1)).phase == "ENDED"


async def test_who_refused_and_why_is_told_and_stays(side: PushSide) -> None:
    await side.follower("w1")
    critic = await quiet_worker(side, "critic")
    await begin_rollout(side.database, "a")
    delta = (await critic.next()).delta
    await until(side, 1, lambda one: states(one).get("w1") == "PREPARED")
    await critic.nack(delta.revision, "a", 1, "the key cannot be parsed")
    await critic.ack(delta.revision)
    failed = await until(side, 1, lambda one: one.phase == "ENDED")
    assert failed.outcome == "FAILED"
    assert "critic" in failed.outcome_message
    assert states(failed) == {"critic": "REFUSED", "w1": "PREPARED"}
    assert failed.workers[0].message == "the key cannot be parsed"
    assert failed.HasField("end_time")
    assert not failed.HasField("prepared_time")
    assert await stored(side, 1) == failed
    # What is refused of a version that serves is no part of its rollout.
    await critic.nack(delta.revision, "a", 1, "later", serving=True)
    await critic.ack(delta.revision)
    await side.rollout.step()
    assert (await stored(side, 1)).workers[0].message == "the key cannot be parsed"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_who_was_cut_off_and_who_left_is_told(database: Database) -> None:
    steady = FakeClock()
    async with push_side(database, timeouts=Timeouts(prepare_ms=300), steady=steady) as side:
        await side.follower("w1")
        await quiet_worker(side, "silent")
        leaving = await quiet_worker(side, "leaving")
        await begin_rollout(database, "a")
        three = {"silent": "WAITING", "leaving": "WAITING", "w1": "PREPARED"}
        await until(side, 1, lambda one: states(one) == three)
        leaving.call.cancel()
        await eventually(lambda: not side.connected("leaving"))
        # From here on the driver measures.
        await side.rollout.step()
        steady.now_ms += 301
        failed = await until(side, 1, lambda one: one.phase == "ENDED")
        assert states(failed) == {"silent": "DROPPED", "w1": "PREPARED"}
        assert await stored(side, 1) == failed


async def test_what_is_stored_after_the_record_was_read_is_told(side: PushSide) -> None:
    await side.follower("w1")
    await begin_rollout(side.database, "a")
    await until(side, 1, lambda one: one.phase == "ENDED")
    kept = await stored(side, 1)
    async with side.database.read() as session:
        record = await rollout_records.find(session, ("id-a", 1))
    assert record
    assert record.workers
    earlier = replace(record, workers={})
    assert await side.rollout.history.workers(("id-a", 1), earlier) == list(kept.workers)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_no_rollout_is_told_as_ended_before_whom_it_cut_off(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with push_side(database, timeouts=Timeouts(prepare_ms=0, activate_ms=0)) as side:
        await quiet_worker(side, "silent")
        at_the_end: list[dict[str, str]] = []
        fail = side.rollout._fail

        async def fail_and_look(rollout: RolloutState, reason: str, aborted: str = "") -> None:
            await fail(rollout, reason, aborted)
            at_the_end.append(states(await told(side, 1)))

        monkeypatch.setattr(side.rollout, "_fail", fail_and_look)
        await begin_rollout(database, "a")
        await until(side, 1, lambda one: one.phase == "ENDED")
        await eventually(lambda: at_the_end == [{"silent": "DROPPED"}])


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_the_workers_of_all_replicas_are_told(database: Database) -> None:
    async with (
        push_side(database, replica_id="here") as here,
        push_side(database, replica_id="there") as there,
    ):
        await here.follower("w1")
        late = await quiet_worker(there, "w2")
        await begin_rollout(database, "a")

        def whole(rollout: Rollout) -> bool:
            return states(rollout) == {"w1": "ACTIVE", "w2": "ACTIVE"}

        await until(here, 1, lambda one: states(one) == {"w1": "PREPARED", "w2": "WAITING"})
        for _ in range(2):
            await late.ack((await late.next()).delta.revision)
        for side in here, there:
            rollout = await until(side, 1, lambda one: one.phase == "ENDED" and whole(one))
            workers: list[RolloutWorker] = list(rollout.workers)
            assert {one.worker_id: one.replica_id for one in workers} == {
                "w1": "here",
                "w2": "there",
            }
            assert all(one.prepared_time <= one.active_time for one in workers)


async def of_hosted(side: HostSide, version: int, *stages: str, workers: int = 0) -> Rollout:
    """Return a rollout once its last model is at the last of the stages, and of so many workers."""
    async with asyncio.timeout(60):
        while True:
            rollout = await Rollouts(side.push.database, side.push.rollout).get(
                ADMIN, "name-e", version
            )
            there = [step.stage for step in rollout.entities[-1].steps]
            if there == [*stages] and len(rollout.workers) >= workers:
                return rollout
            await asyncio.sleep(0.01)


async def fetching(side: HostSide) -> FakeLauncher:
    """Return the launcher of a version whose model is fetched, a quarter of it by now."""
    await side.push.follower("w1")
    launcher = await side.launcher()
    launcher.says["group-a"] = launcher_pb.GroupReport(
        group_id="group-a",
        generation=1,
        progress=launcher_pb.GROUP_PROGRESS_FETCHING,
        message="0.5 of 2.0 MB",
        done=500_000,
        total=2_000_000,
    )
    await side.deploy(hosting_version(1, A))
    return launcher


async def test_hosted_models_are_told_stage_by_stage(database: Database, clock: FakeClock) -> None:
    async with host_side(database, clock) as side:
        launcher = await fetching(side)
        (going,) = (await of_hosted(side, 1, "WAITING", "FETCHING")).entities
        assert (going.served_entity_name, going.deployment) == ("a", "DEPLOYMENT_CREATING")
        assert (going.message, going.reused) == ("0.5 of 2.0 MB", False)
        assert going.steps[0].end_time == going.steps[1].start_time
        assert not going.steps[1].HasField("end_time")
        # The same where everybody looks first.
        (entity,) = build_endpoint(await side.endpoint(), ADMIN).pending_config.served_entities
        progress = entity.state.progress
        assert (progress.stage, progress.start_time) == ("FETCHING", going.steps[1].start_time)
        assert (progress.done, progress.total) == (500_000, 2_000_000)
        clock.now_ms += 2_000
        launcher.says["group-a"].done, launcher.says["group-a"].message = 1_000_000, "1.0 MB"
        await launcher.report()

        async def is_estimated() -> bool:
            group = await side.group()
            return group.history.estimated_end_time == progress.start_time + 4_000

        await until_so(is_estimated)


async def test_what_hosted_models_took_stays(database: Database, clock: FakeClock) -> None:
    async with host_side(database, clock) as side:
        launcher = await fetching(side)
        await of_hosted(side, 1, "WAITING", "FETCHING")
        del launcher.says["group-a"]
        await launcher.report()
        await is_settled(side)
        done = await of_hosted(side, 1, "WAITING", "FETCHING", workers=1)
        assert (done.outcome, done.entities[0].deployment) == ("ACTIVE", "DEPLOYMENT_READY")
        assert done.prepared_time >= done.entities[0].steps[1].end_time > 0
        assert [worker.state for worker in done.workers] == ["ACTIVE"]
        # Of the next version one model runs already, and the other one fails.
        message = "No module named 'x'.\nof its log"
        launcher.says["group-b"] = launcher_pb.GroupReport(
            group_id="group-b",
            generation=1,
            progress=launcher_pb.GROUP_PROGRESS_FAILED,
            message=message,
        )
        clock.now_ms += 1_000
        await side.deploy(hosting_version(2, A, B))
        await is_settled(side)
        failed = await of_hosted(side, 2, "WAITING")
        assert failed.outcome == "FAILED"
        assert [(one.deployment, one.reused, one.message) for one in failed.entities] == [
            ("DEPLOYMENT_READY", True, ""),
            ("DEPLOYMENT_FAILED", False, message),
        ]
        assert failed.entities[1].steps[0].HasField("end_time")
        async with database.write() as transaction:
            await changes.set_grants(transaction, "e", {"2": Level.CAN_VIEW})
        seen = await Rollouts(database, side.push.rollout).get(Principal("2", "b"), "name-e", 2)
        # What its process has printed is for those who may read its log.
        assert seen.entities[1].message == "No module named 'x'."


async def test_a_cancelled_rollout_has_an_end(side: PushSide) -> None:
    await quiet_worker(side, "slow")
    await begin_rollout(side.database, "a")
    async with side.database.write() as transaction:
        await changes.cancel_rollout(transaction, await read_record(side.database, "a"), 7_000)
    cancelled = await told(side, 1)
    assert (cancelled.phase, cancelled.outcome) == ("ENDED", "CANCELED")
    assert cancelled.end_time == 7_000


async def test_the_last_versions_are_known_and_a_deleted_endpoint_leaves_nothing(
    side: PushSide,
) -> None:
    await side.follower("w1")
    for version in range(1, rollout_records.KEPT + 3):
        await begin_rollout(side.database, "a")
        await until(side, version, lambda one: one.phase == "ENDED")
    assert not (await told(side, 2)).workers
    assert (await told(side, 2)).outcome == "SUPERSEDED"
    assert (await told(side, 3)).workers
    with pytest.raises(NotFound):
        await told(side, rollout_records.KEPT + 3)
    await begin_rollout(side.database, "a")
    await side.rollout.step()
    # While the times of its workers are not stored yet.
    await delete_endpoint(side.database, "a")
    await side.rollout.step()
    with pytest.raises(NotFound):
        await told(side, 3)
