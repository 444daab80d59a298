"""The watch stream on a real port: snapshot, deltas, resume, resync, heartbeats, conflation."""

import asyncio

import grpc
import pytest
from modelserving.worker.v1.snapshot_service_pb2 import WatchConfigResponse

from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.events import compact, read_head
from modelplane.control_plane.store.identity.principals import ensure_admin
from modelplane.control_plane.store.identity.tokens import (
    StoredToken,
    insert_token,
    remove_token,
)
from modelplane.control_plane.store.states import EventKind
from modelplane.control_plane.store.tables import EndpointRow
from tests.control_plane.snapshots.conftest import (
    PushSide,
    begin_rollout,
    delete_endpoint,
    eventually,
    settle,
    touch_endpoint,
)


async def test_a_new_worker_gets_everything(side: PushSide) -> None:
    for name in ("a", "b"):
        await begin_rollout(side.database, name)
    await eventually(lambda: side.cache.revision >= 2)
    worker = await side.connect("w1")
    await worker.hello()
    chunks = await worker.snapshot()
    endpoints = {item.name for chunk in chunks for item in chunk.endpoints}
    assert endpoints == {"a", "b"}
    assert chunks[-1].store_id == side.cache.store_id


async def test_a_large_snapshot_comes_in_parts(side: PushSide) -> None:
    async with side.database.write() as transaction:
        transaction.session.add_all(
            EndpointRow(
                id=f"id{number}",
                name=f"e{number}",
                creator="a",
                creator_id="1",
                created_ms=1,
                updated_ms=1,
                settings=b"",
            )
            for number in range(1200)
        )
    await side.cache.load()
    worker = await side.connect("w1")
    await worker.hello()
    chunks = await worker.snapshot()
    assert len(chunks) == 4
    assert [chunk.last for chunk in chunks] == [False, False, False, True]
    assert sum(len(chunk.endpoints) for chunk in chunks) == 1200


async def test_a_change_reaches_a_connected_worker(side: PushSide) -> None:
    worker = await side.connect("w1")
    await worker.hello()
    await worker.snapshot()
    await begin_rollout(side.database, "a")
    delta = (await worker.next()).delta
    assert [item.name for item in delta.endpoints] == ["a"]
    assert delta.endpoints[0].prepared.config_version == 1
    assert not delta.endpoints[0].HasField("active")


async def test_a_deleted_endpoint_is_removed(side: PushSide) -> None:
    await begin_rollout(side.database, "a")
    worker = await side.connect("w1")
    await worker.hello()
    await worker.snapshot()
    await delete_endpoint(side.database, "a")
    removed: list[str] = []
    while not removed:
        removed = list((await worker.next()).delta.removed_endpoint_ids)
    assert removed == ["id-a"]


async def test_a_worker_resumes_where_it_was(side: PushSide) -> None:
    await begin_rollout(side.database, "a")
    await settle(side.database, "a")
    async with side.database.read() as session:
        # The rollout may have gone a step on its own before it was settled.
        at = (await read_head(session)).revision
    await eventually(lambda: side.cache.revision >= at)
    await begin_rollout(side.database, "b")
    await settle(side.database, "b")
    await eventually(lambda: side.cache.revision > at)
    worker = await side.connect("w1")
    await worker.hello(last_revision=at, store_id=side.cache.store_id)
    message = await worker.next()
    assert [item.name for item in message.delta.endpoints] == ["b"]


async def test_a_worker_of_another_store_starts_over(side: PushSide) -> None:
    await begin_rollout(side.database, "a")
    await eventually(lambda: side.cache.revision >= 1)
    worker = await side.connect("w1")
    await worker.hello(last_revision=side.cache.revision, store_id="another")
    assert (await worker.next()).HasField("snapshot")


async def test_a_compacted_revision_gets_a_full_snapshot(side: PushSide) -> None:
    await begin_rollout(side.database, "a")
    await settle(side.database, "a")
    for _ in range(5):
        await touch_endpoint(side.database, "a")
    async with side.database.write() as transaction:
        await compact(transaction, keep=2)
    newest = await touch_endpoint(side.database, "a")
    await eventually(lambda: side.cache.revision >= newest)
    worker = await side.connect("w1")
    await worker.hello(last_revision=1, store_id=side.cache.store_id)
    assert (await worker.snapshot())[-1].revision == newest


async def test_a_restarted_replica_still_resumes(database: Database, side: PushSide) -> None:
    await begin_rollout(database, "a")
    await settle(database, "a")
    await begin_rollout(database, "b")
    await settle(database, "b")
    await delete_endpoint(database, "a")
    await side.cache.load()
    changes = side.cache.changes_since(1)
    assert [list(item.removed_endpoint_ids) for item in changes] == [["id-a"]]


async def test_a_slow_worker_gets_the_newest_state_only(side: PushSide) -> None:
    await begin_rollout(side.database, "a")
    await settle(side.database, "a")
    await eventually(lambda: side.cache.revision >= 1)
    for _ in range(20):
        newest = await touch_endpoint(side.database, "a")
    await eventually(lambda: side.cache.revision >= newest)
    changes = side.cache.changes_since(1)
    assert [(item.revision, len(item.endpoints)) for item in changes] == [(newest, 1)]


async def test_an_idle_worker_hears_the_newest_revision(side: PushSide) -> None:
    newest = await touch_endpoint(side.database, "none")
    await eventually(lambda: side.cache.revision >= newest)
    worker = await side.connect("w1")
    await worker.hello()
    async with asyncio.timeout(60):
        while True:
            message = await worker.call.read()
            assert isinstance(message, WatchConfigResponse)
            if message.HasField("heartbeat"):
                break
    assert message.heartbeat.newest_revision == newest


async def test_a_stream_must_begin_with_hello(side: PushSide) -> None:
    worker = await side.connect("w1")
    await worker.ack(1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await worker.call.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_second_stream_of_a_worker_replaces_the_first(side: PushSide) -> None:
    first = await side.connect("w1")
    await first.hello()
    await first.snapshot()
    second = await side.connect("w1")
    await second.hello()
    await second.snapshot()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        while True:
            await first.next()
    assert caught.value.code() is grpc.StatusCode.ABORTED
    assert len(side.watchers) == 1


async def test_a_worker_that_leaves_is_forgotten(side: PushSide) -> None:
    worker = await side.connect("w1")
    await worker.hello()
    await worker.snapshot()
    worker.call.cancel()
    await eventually(lambda: len(side.watchers) == 0)


async def test_a_token_that_is_gone_goes_ahead_of_what_changed_before(side: PushSide) -> None:
    async with side.database.write() as transaction:
        owner = await ensure_admin(transaction, "admin", 1)
        token = StoredToken("t1", bytes(32), owner, "", 1, None)
        at = await insert_token(transaction, token)
    await eventually(lambda: side.cache.revision == at)
    worker = await side.connect("w1")
    await worker.hello()
    await worker.snapshot()
    async with side.database.write() as transaction:
        await transaction.revise(EventKind.PRINCIPAL, owner)
        endpoints = [f"endpoint{number}" for number in range(1200)]
        await transaction.revise_all(EventKind.ENDPOINT, endpoints)
        newest = await remove_token(transaction, "t1")
    first = (await worker.next()).delta
    assert "t1" in first.removed_token_ids
    assert not first.principals
    assert not first.removed_endpoint_ids
    assert first.revision == at
    revisions: list[int] = []
    while not revisions or revisions[-1] < newest:
        revisions.append((await worker.next()).delta.revision)
    assert len(revisions) == 3
    assert revisions == sorted(revisions)
