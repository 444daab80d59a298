"""Rollouts in two phases: who is asked, who can stop one, and what happens when nobody answers."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from modelserving.worker.v1.snapshot_service_pb2 import Nack
from sqlmodel import col, select

from modelplane.control_plane.clock import system_clock
from modelplane.control_plane.rollout import answered_early
from modelplane.control_plane.snapshots import rollout_driver
from modelplane.control_plane.snapshots.rollout_driver import Timeouts
from modelplane.control_plane.store.database import Database, Session
from modelplane.control_plane.store.endpoints import rollouts
from modelplane.control_plane.store.endpoints.rollouts import RolloutState
from modelplane.control_plane.store.hosting import groups
from modelplane.control_plane.store.migrate import migrate
from modelplane.control_plane.store.replicas import WorkerProgress
from modelplane.control_plane.store.states import EventKind, LastUpdate, Phase
from modelplane.control_plane.store.tables import EndpointRow
from tests.control_plane.snapshots.conftest import (
    FakeWorker,
    PushSide,
    begin_rollout,
    eventually,
    push_side,
    read_endpoint,
)


class Settable:
    """A clock that says what it is set to."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


async def settled_worker(side: PushSide, worker_id: str) -> FakeWorker:
    """Return a worker that holds all there is, and says nothing of what comes."""
    worker = await side.connect(worker_id)
    await worker.hello()
    await worker.ack((await worker.snapshot())[-1].revision)
    return worker


async def reach(side: PushSide, worker: FakeWorker, phase: Phase) -> int:
    """Let the only worker come to a phase of the rollout; return what it has to acknowledge."""
    revision = (await worker.next()).delta.revision
    if phase is Phase.ACTIVATING:
        await worker.ack(revision)
        revision = (await worker.next()).delta.revision
    # From here on the driver measures.
    await side.rollout.step()
    return revision


async def test_without_workers_a_version_is_active_but_not_ready(side: PushSide) -> None:
    await begin_rollout(side.database, "a")
    await side.rollout.wait_settled("id-a")
    row = await read_endpoint(side.database, "a")
    assert (row.phase, row.active_version, row.pending_version) == (Phase.SETTLED, 1, None)
    assert row.ready is False


async def test_an_endpoint_is_ready_once_a_worker_has_applied_it(side: PushSide) -> None:
    await begin_rollout(side.database, "a")
    await side.rollout.wait_settled("id-a")
    await side.follower("w1")
    async with asyncio.timeout(60):
        while not (await read_endpoint(side.database, "a")).ready:
            await asyncio.sleep(0.01)


async def test_every_worker_prepares_before_any_activates(side: PushSide) -> None:
    await side.follower("fast")
    slow = await side.connect("slow")
    await slow.hello()
    await slow.ack((await slow.snapshot())[-1].revision)
    await begin_rollout(side.database, "a")
    prepared = (await slow.next()).delta
    assert prepared.endpoints[0].prepared.config_version == 1
    await eventually(lambda: side.watchers.fastest() >= prepared.revision)
    await side.rollout.step()
    assert (await read_endpoint(side.database, "a")).phase == Phase.PREPARING
    await slow.ack(prepared.revision)
    activated = (await slow.next()).delta
    assert activated.endpoints[0].active.config_version == 1
    assert not activated.endpoints[0].HasField("prepared")
    await side.rollout.step()
    row = await read_endpoint(side.database, "a")
    assert (row.phase, row.active_version) == (Phase.ACTIVATING, None)
    await slow.ack(activated.revision)
    await side.rollout.wait_settled("id-a")
    row = await read_endpoint(side.database, "a")
    assert (row.phase, row.active_version, row.ready) == (Phase.SETTLED, 1, True)


async def test_a_worker_that_moves_is_looked_at_only_where_something_waits(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All comes about by hints.
    for name in ("_LOOK_SECONDS", "_IDLE_SECONDS"):
        monkeypatch.setattr(rollout_driver, name, 3_600.0)
    async with push_side(database) as side:
        worker = await settled_worker(side, "w1")
        await begin_rollout(database, "a")
        for _ in ("prepare", "activate"):
            revision = (await worker.next()).delta.revision
            await side.rollout.step()
            await worker.ack(revision)
        async with asyncio.timeout(60):
            while not (await read_endpoint(database, "a")).ready:
                await asyncio.sleep(0.01)
        hinted = side.rollout._hinted

        def moves_unseen() -> bool:
            if hinted.is_set():
                return False
            side.rollout.moved()
            return not hinted.is_set()

        # Until the last look has found nothing to wait for.
        await eventually(moves_unseen)


async def test_what_others_say_is_asked_before_it_counts(
    side: PushSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await settled_worker(side, "w1")
    read = rollouts.read_rollouts
    # By the task that looks: the driver's own, and this test's.
    pending: dict[asyncio.Task[object] | None, list[RolloutState]] = {}

    async def read_hosted(session: Session) -> list[RolloutState]:
        found = [replace(one, group_ids=("group",)) for one in await read(session)]
        pending[asyncio.current_task()] = found
        return found

    async def follow(*_: object) -> list[object]:
        # The worker of this replica, while the groups of the first are read; no other one does.
        found = pending[asyncio.current_task()]
        if len(found) == 2:
            for watcher in side.watchers:
                side.watchers.acknowledge(watcher, found[1].revision)
        return []

    async def others() -> list[WorkerProgress]:
        return [WorkerProgress(workers=1, acked_revision=0)]

    monkeypatch.setattr(rollouts, "read_rollouts", read_hosted)
    monkeypatch.setattr(groups, "load", follow)
    monkeypatch.setattr(side.rollout.peers, "others", others)
    for name in ("a", "b"):
        await begin_rollout(side.database, name)
        await worker.next()
    for _ in range(3):
        await side.rollout.step()
    assert (await read_endpoint(side.database, "b")).phase == Phase.PREPARING


async def test_a_refusal_fails_the_update_and_the_old_version_serves(side: PushSide) -> None:
    await side.follower("w1")
    await begin_rollout(side.database, "a")
    await side.rollout.wait_settled("id-a")
    critic = await side.connect("critic")
    await critic.hello()
    await critic.ack((await critic.snapshot())[-1].revision)
    await begin_rollout(side.database, "a")
    delta = (await critic.next()).delta
    await critic.nack(delta.revision, "a", 2, "the key cannot be parsed")
    await critic.ack(delta.revision)
    await side.rollout.wait_settled("id-a")
    row = await read_endpoint(side.database, "a")
    assert (row.active_version, row.pending_version) == (1, 2)
    assert row.last_update == LastUpdate.FAILED
    assert "critic" in row.last_update_message
    assert "the key cannot be parsed" in row.last_update_message
    dropped = (await critic.next()).delta
    assert dropped.endpoints[0].active.config_version == 1
    assert not dropped.endpoints[0].HasField("prepared")


async def test_a_refusal_of_another_version_changes_nothing(side: PushSide) -> None:
    worker = await side.connect("w1")
    await worker.hello()
    await worker.ack((await worker.snapshot())[-1].revision)
    await begin_rollout(side.database, "a")
    delta = (await worker.next()).delta
    await worker.nack(delta.revision, "a", 7, "stale")
    await worker.ack(delta.revision)
    assert (await worker.next()).delta.endpoints[0].active.config_version == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_refusal_of_two_endpoints_waits_for_one_at_a_time(side: PushSide) -> None:
    await settled_worker(side, "w1")
    for name in ("a", "b"):
        await begin_rollout(side.database, name)
    nacks = [Nack(revision=1, endpoint_id=f"id-{name}", config_version=1) for name in ("a", "b")]
    async with asyncio.TaskGroup() as tasks, side.database.write() as transaction:
        query = select(EndpointRow).where(col(EndpointRow.name) == "b").with_for_update()
        await transaction.session.exec(query)
        tasks.create_task(side.rollout.refuse("w1", nacks))
        # Only the other one's is ended, and nobody waits for that.
        await side.rollout.wait_settled("id-a")
        await transaction.revise(EventKind.ENDPOINT, "id-b")
    for name in ("a", "b"):
        assert (await read_endpoint(side.database, name)).last_update == LastUpdate.FAILED


async def test_silence_fails_the_update_and_drops_the_worker(database: Database) -> None:
    async with push_side(database, timeouts=Timeouts(prepare_ms=0)) as side:
        await settled_worker(side, "silent")
        await begin_rollout(database, "a")
        await side.rollout.wait_settled("id-a")
        row = await read_endpoint(database, "a")
        assert row.last_update == LastUpdate.FAILED
        assert "silent" in row.last_update_message
        await eventually(lambda: not side.connected("silent"))


async def test_silence_at_activation_drops_the_worker_and_goes_on(database: Database) -> None:
    async with push_side(database, timeouts=Timeouts(activate_ms=0)) as side:
        worker = await side.connect("half")
        await worker.hello()
        await worker.ack((await worker.snapshot())[-1].revision)
        await begin_rollout(database, "a")
        await worker.ack((await worker.next()).delta.revision)
        await side.rollout.wait_settled("id-a")
        assert (await read_endpoint(database, "a")).active_version == 1
        assert not side.connected("half")


@pytest.mark.parametrize("phase", [Phase.PREPARING, Phase.ACTIVATING])
@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_is_set_changes_nothing_of_a_rollout(
    database: Database, phase: Phase, hours: int
) -> None:
    wall, steady = Settable(system_clock()), Settable(0)
    async with push_side(database, clock=wall, steady=steady) as side:
        slow = await settled_worker(side, "slow")
        await begin_rollout(database, "a")
        revision = await reach(side, slow, phase)
        wall.now_ms += hours * 3_600_000
        for steady.now_ms in (0, 10_000):
            await side.rollout.step()
            assert (await read_endpoint(database, "a")).phase == phase
            assert side.connected("slow")
        await slow.ack(revision)
        if phase is Phase.PREPARING:
            await slow.ack((await slow.next()).delta.revision)
        await side.rollout.wait_settled("id-a")
        assert (await read_endpoint(database, "a")).active_version == 1


@pytest.mark.parametrize("phase", [Phase.PREPARING, Phase.ACTIVATING])
async def test_a_silent_worker_is_waited_for_no_longer_when_the_clock_is_set_back(
    database: Database, phase: Phase
) -> None:
    wall, steady = Settable(system_clock()), Settable(0)
    async with push_side(database, clock=wall, steady=steady) as side:
        silent = await settled_worker(side, "silent")
        await begin_rollout(database, "a")
        await reach(side, silent, phase)
        wall.now_ms -= 3_600_000
        steady.now_ms = 10_001
        await side.rollout.wait_settled("id-a")
        row = await read_endpoint(database, "a")
        failed = phase is Phase.PREPARING
        assert (row.last_update == LastUpdate.FAILED, row.active_version) == (
            (True, None) if failed else (False, 1)
        )
        await eventually(lambda: not side.connected("silent"))


async def test_another_driver_finishes_what_one_began(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    first = Database(url)
    await migrate(first)
    await begin_rollout(first, "a")
    await first.aclose()
    second = Database(url)
    async with push_side(second) as side:
        await side.rollout.wait_settled("id-a")
        assert (await read_endpoint(second, "a")).active_version == 1
    await second.aclose()


def early_answers(side: PushSide) -> float:
    [family] = side.rollout.early_answers.collect()
    return next(item.value for item in family.samples if item.name.endswith("_total"))


async def test_wait_applied_waits_for_every_worker(side: PushSide) -> None:
    await side.follower("w1")
    slow = await side.connect("slow")
    await slow.hello()
    await slow.ack((await slow.snapshot())[-1].revision)
    await begin_rollout(side.database, "a")
    revision = (await slow.next()).delta.revision
    waiting = asyncio.create_task(side.rollout.wait_applied(revision))
    await side.rollout.step()
    assert not waiting.done()
    await slow.ack(revision)
    await waiting
    assert not side.watchers.behind(revision)
    assert not answered_early.get()
    assert early_answers(side) == 0


async def test_an_answer_before_all_workers_followed_is_told_and_counted(
    side: PushSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_driver, "ANSWER_SECONDS", 0.1)
    slow = await side.connect("slow")
    await slow.hello()
    await slow.ack((await slow.snapshot())[-1].revision)
    await begin_rollout(side.database, "a")
    revision = (await slow.next()).delta.revision
    await side.rollout.wait_applied(revision)
    assert answered_early.get()
    assert early_answers(side) == 1


async def test_two_replicas_roll_out_to_all_workers(postgres_url: str) -> None:
    first, second = Database(postgres_url), Database(postgres_url)
    await migrate(first)
    async with push_side(first, replica_id="r1") as one, push_side(second, replica_id="r2") as two:
        await one.follower("w1")
        slow = await two.connect("w2")
        await slow.hello()
        await slow.ack((await slow.snapshot())[-1].revision)
        # The replicas must know of each other's workers before the update begins.
        async with asyncio.timeout(60):
            while [item.workers for item in await one.rollout.peers.others()] != [1]:
                await asyncio.sleep(0.01)
        await begin_rollout(first, "a")
        prepared = (await slow.next()).delta
        assert prepared.endpoints[0].prepared.config_version == 1
        await eventually(lambda: one.watchers.fastest() >= prepared.revision)
        await one.rollout.step()
        assert (await read_endpoint(first, "a")).phase == Phase.PREPARING
        await slow.ack(prepared.revision)
        activated = (await slow.next()).delta
        assert activated.endpoints[0].active.config_version == 1
        await slow.ack(activated.revision)
        await two.rollout.wait_settled("id-a")
        row = await read_endpoint(second, "a")
        assert (row.active_version, row.ready) == (1, True)
    await first.aclose()
    await second.aclose()
