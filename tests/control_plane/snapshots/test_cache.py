from collections.abc import Mapping
from typing import Any, cast

from modelserving.v1.endpoint_pb2 import EndpointConfig, ServedEntity
from modelserving.worker.v1.snapshot_pb2 import EndpointResource

from modelplane.adapters.shared.rpc.sizes import MAX_MESSAGE_BYTES
from modelplane.control_plane.snapshots.builder import Resource, ResourceBuilder
from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.states import EventKind

KIB = 1024


class Fixed:
    """Loads endpoints of given sizes."""

    def __init__(self, *sizes: int) -> None:
        self.endpoints = {str(place): _endpoint(place, size) for place, size in enumerate(sizes)}

    async def load(self, _: Any, kind: EventKind, keys: object) -> Mapping[str, Resource]:
        assert keys is None
        return self.endpoints if kind is EventKind.ENDPOINT else {}


def _endpoint(place: int, size: int) -> EndpointResource:
    entity = ServedEntity(name="x" * size)
    return EndpointResource(id=str(place), active=EndpointConfig(served_entities=[entity]))


async def test_parts_of_a_full_snapshot_fit_into_messages(database: Database) -> None:
    # Together far beyond a message, and one that is long by itself.
    sizes = [64 * KIB] * 300 + [6000 * KIB] + [10] * 1200
    cache = SnapshotCache(database, cast("ResourceBuilder", Fixed(*sizes)))
    await cache.load()
    *parts, last = cache.chunks()
    assert max(part.ByteSize() for part in parts) < MAX_MESSAGE_BYTES / 2
    assert max(len(part.endpoints) for part in parts) == 500
    found = [endpoint.id for part in parts for endpoint in part.endpoints]
    assert found == [str(place) for place in range(len(sizes))]
    assert last.last
    assert not any(part.last or not part.endpoints for part in parts)
