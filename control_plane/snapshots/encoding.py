"""What goes to the workers, made and encoded once for all that are sent the same.

Nearly all are: a change goes to every worker, and after a restart of the control plane each of them
gets the whole snapshot. Before: `servicer`. After: `cache`.
"""

from collections.abc import Iterator
from weakref import WeakValueDictionary

from modelserving.worker.v1.snapshot_service_pb2 import SnapshotChunk, WatchConfigResponse

from modelplane.control_plane.snapshots.cache import SnapshotCache


class Encoded:
    """A message in bytes, and what of it its sender has to know.

    Attributes:
        data: A `WatchConfigResponse`.
        revision: Where it brings a worker.
        store_id: Store of the revision; empty in a delta, which changes none.
    """

    __slots__ = ("__weakref__", "data", "revision", "store_id")

    def __init__(self, message: WatchConfigResponse) -> None:
        """Encode a message with a delta or a part of a snapshot."""
        self.data = message.SerializeToString()
        of = message.delta if message.HasField("delta") else message.snapshot
        self.revision = of.revision
        self.store_id = message.snapshot.store_id


class _Snapshot:
    """The parts of a full snapshot, each made when the first worker is to get it."""

    def __init__(self, chunks: Iterator[SnapshotChunk]) -> None:
        self._chunks = chunks
        self._made: list[Encoded] = []

    def __iter__(self) -> Iterator[Encoded]:
        at = 0
        while True:
            if at == len(self._made):
                chunk = next(self._chunks, None)
                if chunk is None:
                    return
                self._made.append(Encoded(WatchConfigResponse(snapshot=chunk)))
            yield self._made[at]
            at += 1


class Encodings:
    """Shares a message among those who are being sent it at the same time."""

    def __init__(self, cache: SnapshotCache) -> None:
        self._cache = cache
        # By what the cache was at, and the worker, and whether that takes secrets by reference.
        self._deltas: WeakValueDictionary[tuple[str, int, int, bool], Encoded]
        self._deltas = WeakValueDictionary()
        self._snapshots: WeakValueDictionary[tuple[str, int, bool], _Snapshot]
        self._snapshots = WeakValueDictionary()

    def delta_after(self, revision: int, *, by_reference: bool = True) -> Encoded | None:
        """Return the first message of what changed after a revision; None: nothing did."""
        key = self._cache.store_id, self._cache.revision, revision, by_reference
        found = self._deltas.get(key)
        if found is None:
            changes = self._cache.changes_since(revision, by_reference=by_reference)
            if delta := next(changes, None):
                found = self._deltas[key] = Encoded(WatchConfigResponse(delta=delta))
        return found

    def snapshot(self, *, by_reference: bool = True) -> Iterator[Encoded]:
        """Yield the parts of the full snapshot, as it is now."""
        key = self._cache.store_id, self._cache.revision, by_reference
        found = self._snapshots.get(key)
        if found is None:
            chunks = self._cache.chunks(by_reference=by_reference)
            found = self._snapshots[key] = _Snapshot(chunks)
        yield from found
