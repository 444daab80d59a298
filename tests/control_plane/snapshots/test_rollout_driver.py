"""Rollouts in two phases: who is asked, who can stop one, and what happens when nobody answers."""

import asyncio
from pathlib import Path

from modelplane.control_plane.rollout import answered_early
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.migrate import migrate
from modelplane.control_plane.store.states import LastUpdate, Phase
from tests.control_plane.snapshots.conftest import (
    PushSide,
    begin_rollout,
    eventually,
    push_side,
    read_endpoint,
)


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
    async with asyncio.timeout(10):
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


async def test_silence_fails_the_update_and_drops_the_worker(side: PushSide) -> None:
    silent = await side.connect("silent")
    await silent.hello()
    await silent.ack((await silent.snapshot())[-1].revision)
    await begin_rollout(side.database, "a", deadline_ms=1)
    await side.rollout.wait_settled("id-a")
    row = await read_endpoint(side.database, "a")
    assert row.last_update == LastUpdate.FAILED
    assert "silent" in row.last_update_message
    await eventually(lambda: not side.connected("silent"))


async def test_silence_at_activation_drops_the_worker_and_goes_on(database: Database) -> None:
    async with push_side(database, activate_timeout_ms=0) as side:
        worker = await side.connect("half")
        await worker.hello()
        await worker.ack((await worker.snapshot())[-1].revision)
        await begin_rollout(database, "a")
        await worker.ack((await worker.next()).delta.revision)
        await side.rollout.wait_settled("id-a")
        assert (await read_endpoint(database, "a")).active_version == 1
        assert not side.connected("half")


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


async def test_an_answer_before_all_workers_followed_is_told_and_counted(side: PushSide) -> None:
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
        async with asyncio.timeout(10):
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
