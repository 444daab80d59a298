"""What a settled endpoint says of itself when a worker refuses it, or when there is none."""

import asyncio
from collections.abc import Callable

import pytest

from modelplane.control_plane.endpoints.views import build_endpoint
from modelplane.control_plane.snapshots import readiness, rollout_driver
from modelplane.control_plane.store.endpoints.records import StoredEndpoint
from tests.control_plane.conftest import ALICE
from tests.control_plane.snapshots.conftest import (
    FakeWorker,
    PushSide,
    begin_rollout,
    eventually,
    read_record,
    touch_endpoint,
)

REASON = "openai_api_key has no value"


async def until(side: PushSide, holds: Callable[[StoredEndpoint], bool]) -> StoredEndpoint:
    async with asyncio.timeout(60):
        while not holds(record := await read_record(side.database, "a")):
            await asyncio.sleep(0.01)
    return record


async def served(side: PushSide) -> FakeWorker:
    """Roll an endpoint out to one worker, and return the worker."""
    worker = await side.connect("w1")
    await worker.hello()
    await worker.ack((await worker.snapshot())[-1].revision)
    await begin_rollout(side.database, "a")
    for _ in ("prepare", "activate"):
        await worker.ack((await worker.next()).delta.revision)
    await until(side, lambda record: record.ready)
    return worker


async def refuse(side: PushSide, worker: FakeWorker, *, serving: bool) -> None:
    revision = await touch_endpoint(side.database, "a")
    assert (await worker.next()).delta.revision == revision
    await worker.nack(revision, "a", 1, REASON, serving=serving)
    await worker.ack(revision)


async def counted(side: PushSide, refused: int) -> None:
    """Return once so many refusals are counted: by one of the driver's next steps."""
    await eventually(lambda: side.rollout.refused == refused)


async def test_a_refusal_is_told_while_the_old_value_serves(side: PushSide) -> None:
    worker = await served(side)
    await refuse(side, worker, serving=True)
    view = build_endpoint(await until(side, lambda record: record.refusal != ""), ALICE)
    assert (view.state.ready, view.state.config_update) == ("READY", "NOT_UPDATING")
    assert "Worker w1 refused" in view.state.config_update_message
    assert REASON in view.state.config_update_message
    assert "goes on serving" in view.state.config_update_message


async def test_what_a_worker_does_not_serve_is_not_ready_until_it_is_mended(
    side: PushSide,
) -> None:
    worker = await served(side)
    await refuse(side, worker, serving=False)
    record = await until(side, lambda record: not record.ready)
    assert REASON in build_endpoint(record, ALICE).state.config_update_message
    await counted(side, 1)
    # Other endpoints' changes mend nothing.
    await begin_rollout(side.database, "b")
    for _ in ("prepare", "activate"):
        await worker.ack((await worker.next()).delta.revision)
    await side.rollout.wait_settled("id-b")
    await side.rollout.step()
    assert not (await read_record(side.database, "a")).ready
    revision = await touch_endpoint(side.database, "a")
    assert (await worker.next()).delta.revision == revision
    await worker.ack(revision)
    record = await until(side, lambda record: record.ready)
    assert not record.refusal
    assert not build_endpoint(record, ALICE).state.HasField("config_update_message")
    await counted(side, 0)


async def test_a_refusal_of_a_version_that_does_not_serve_is_not_told(side: PushSide) -> None:
    worker = await served(side)
    revision = await touch_endpoint(side.database, "a")
    await worker.nack(revision, "a", 7, REASON)
    await worker.ack(revision)
    await eventually(lambda: not side.watchers.behind(revision))
    record = await read_record(side.database, "a")
    assert record.ready
    assert not record.refusal


async def test_a_new_version_takes_back_what_was_said_of_the_old_one(side: PushSide) -> None:
    worker = await served(side)
    await refuse(side, worker, serving=False)
    await until(side, lambda record: not record.ready)
    await begin_rollout(side.database, "a")
    for _ in ("prepare", "activate"):
        await worker.ack((await worker.next()).delta.revision)
    await side.rollout.wait_settled("id-a")
    record = await until(side, lambda record: record.ready)
    assert not record.refusal


async def test_a_refusal_during_activation_outlives_it(side: PushSide) -> None:
    worker = await side.connect("w1")
    await worker.hello()
    await worker.ack((await worker.snapshot())[-1].revision)
    await begin_rollout(side.database, "a")
    await worker.ack((await worker.next()).delta.revision)
    activated = (await worker.next()).delta.revision
    await worker.nack(activated, "a", 1, REASON)
    await worker.ack(activated)
    await side.rollout.wait_settled("id-a")
    record = await read_record(side.database, "a")
    assert REASON in record.refusal
    assert not record.ready


async def test_a_worker_that_takes_the_place_of_one_that_refused_is_asked(
    side: PushSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "_ASK_EVERY_MS", 0)
    # It is seen because it comes, not by looking now and then.
    monkeypatch.setattr(rollout_driver, "_IDLE_SECONDS", 3_600.0)
    worker = await served(side)
    # Until the look after the last step has found nothing to wait for.
    await asyncio.sleep(0.3)
    await refuse(side, worker, serving=False)
    await until(side, lambda record: not record.ready)
    worker.call.cancel()
    await side.follower("w2")
    record = await until(side, lambda record: record.ready)
    assert not record.refusal


async def test_without_any_worker_nothing_is_ready(
    side: PushSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "_ABSENCE_MS", 0)
    # The next worker is seen because it comes, not by looking now and then.
    monkeypatch.setattr(rollout_driver, "_IDLE_SECONDS", 3_600.0)
    worker = await served(side)
    # Until the look after the last step has found nothing to wait for.
    await asyncio.sleep(0.3)
    worker.call.cancel()
    await eventually(lambda: not side.connected("w1"))
    side.rollout.hint()
    await until(side, lambda record: not record.ready)
    await side.follower("w2")
    await until(side, lambda record: record.ready)
