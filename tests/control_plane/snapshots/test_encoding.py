"""What many workers are sent is made once."""

from modelserving.worker.v1.snapshot_service_pb2 import WatchConfigResponse

from modelplane.control_plane.snapshots.encoding import Encodings
from tests.control_plane.snapshots.conftest import PushSide, begin_rollout, eventually


async def test_workers_at_one_revision_share_a_message(side: PushSide) -> None:
    encodings = Encodings(side.cache)
    assert encodings.delta_after(side.cache.revision) is None
    before = side.cache.revision
    await begin_rollout(side.database, "a")
    await eventually(lambda: side.cache.revision > before)
    first, second = encodings.delta_after(before), encodings.delta_after(before)
    assert first is not None
    assert first is second
    delta = WatchConfigResponse.FromString(first.data).delta
    assert ([item.name for item in delta.endpoints], delta.revision) == (["a"], first.revision)
    await begin_rollout(side.database, "b")
    await eventually(lambda: side.cache.revision > first.revision)
    newer = encodings.delta_after(before)
    assert newer is not first


async def test_workers_that_begin_together_share_a_snapshot(side: PushSide) -> None:
    await begin_rollout(side.database, "a")
    await eventually(lambda: side.cache.revision > 0)
    encodings = Encodings(side.cache)
    one, other = encodings.snapshot(), encodings.snapshot()
    # In turn, as they are sent.
    pairs = list(zip(one, other, strict=True))
    assert all(first is second for first, second in pairs)
    chunks = [WatchConfigResponse.FromString(part.data).snapshot for part, _ in pairs]
    assert [item.name for chunk in chunks for item in chunk.endpoints] == ["a"]
    assert chunks[-1].last
    assert {part.store_id for part, _ in pairs} == {side.cache.store_id}
