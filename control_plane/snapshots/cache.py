"""The newest snapshot in memory, and what changed since any revision.

A watcher asks for what changed since the revision that it sent last and gets one message per
resource in its newest state: a slow watcher skips intermediate states and never builds a queue.
Before: `builder`. After: `snapshot_servicer`.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TypeVar

from modelserving.snapshot.v1.snapshot_pb2 import EndpointResource, TokenResource
from modelserving.snapshot.v1.snapshot_service_pb2 import ConfigDelta, SnapshotChunk
from sqlmodel.ext.asyncio.session import AsyncSession

from control_plane.snapshots.builder import ResourceBuilder
from control_plane.store.database import Database
from control_plane.store.event_store import Event, Head, read_events, read_head
from control_plane.store.tables import EventKind

# A part of a full snapshot holds this many resources: far below gRPC's message limit.
_CHUNK_RESOURCES = 500

T = TypeVar("T")
_Key = tuple[EventKind, str]


class SnapshotCache:
    """Holds every resource, follows the revision log, and wakes the watchers."""

    def __init__(self, database: Database, builder: ResourceBuilder) -> None:
        self._database = database
        self._builder = builder
        self._endpoints: dict[str, EndpointResource] = {}
        self._tokens: dict[str, TokenResource] = {}
        # Newest revision of each resource that changed, removed ones included, oldest first.
        self._changes: OrderedDict[_Key, int] = OrderedDict()
        self._head = Head(revision=0, compacted=0, store_id="")
        self._listeners: list[Callable[[], None]] = []

    @property
    def revision(self) -> int:
        """Revision that the cache is at."""
        return self._head.revision

    @property
    def store_id(self) -> str:
        """Store that the revisions belong to."""
        return self._head.store_id

    @property
    def holds_endpoints(self) -> bool:
        """Whether there is any endpoint."""
        return bool(self._endpoints)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change."""
        self._listeners.append(listener)

    async def load(self) -> None:
        """Read everything.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        async with self._database.read() as session:
            head = await read_head(session)
            events = await read_events(session, head.compacted, head.revision)
            endpoints = await self._builder.endpoints(session, None)
            tokens = await self._builder.tokens(session, None)
        self._endpoints = {endpoint.id: endpoint for endpoint in endpoints}
        self._tokens = {token.id: token for token in tokens}
        self._changes.clear()
        self._note(events)
        self._advance(head)

    async def refresh(self) -> None:
        """Read what changed since the last time.

        Raises:
            StoreUnavailable: The database does not answer; the cache stays as it is.
        """
        async with self._database.read() as session:
            head = await read_head(session)
            if head.revision == self.revision and head.store_id == self.store_id:
                return
            known = head.store_id == self.store_id and head.compacted <= self.revision
            if known:
                events = await read_events(session, self.revision, head.revision)
                await self._apply(session, events)
        if not known:
            await self.load()
            return
        self._note(events)
        self._advance(head)

    def retains(self, store_id: str, revision: int) -> bool:
        """Tell whether `changes_since(revision)` is complete for a worker of that store."""
        return store_id == self.store_id and self._head.compacted <= revision <= self.revision

    def changes_since(self, revision: int) -> list[ConfigDelta]:
        """Return one message per resource that changed after `revision`, oldest change first."""
        newer: list[tuple[_Key, int]] = []
        for key, changed_at in reversed(self._changes.items()):
            if changed_at <= revision:
                break
            newer.append((key, changed_at))
        return [self._delta(*key, changed_at) for key, changed_at in reversed(newer)]

    def chunks(self) -> Iterator[SnapshotChunk]:
        """Return the full snapshot in parts, as it is now."""
        head = self._head
        endpoints = list(self._endpoints.values())
        tokens = list(self._tokens.values())
        for start in range(0, len(endpoints), _CHUNK_RESOURCES):
            yield SnapshotChunk(
                revision=head.revision,
                store_id=head.store_id,
                endpoints=endpoints[start : start + _CHUNK_RESOURCES],
            )
        yield SnapshotChunk(
            revision=head.revision, store_id=head.store_id, tokens=tokens, last=True
        )

    async def _apply(self, session: AsyncSession, events: list[Event]) -> None:
        endpoint_ids = {event.key for event in events if event.kind is EventKind.ENDPOINT}
        if endpoint_ids:
            endpoints = await self._builder.endpoints(session, endpoint_ids)
            _replace(self._endpoints, endpoint_ids, {item.id: item for item in endpoints})
        token_ids = {event.key for event in events if event.kind is EventKind.TOKEN}
        if token_ids:
            tokens = await self._builder.tokens(session, token_ids)
            _replace(self._tokens, token_ids, {item.id: item for item in tokens})

    def _note(self, events: list[Event]) -> None:
        for event in events:
            key = (event.kind, event.key)
            self._changes[key] = event.revision
            self._changes.move_to_end(key)

    def _advance(self, head: Head) -> None:
        self._head = head
        while self._changes and next(iter(self._changes.values())) <= head.compacted:
            self._changes.popitem(last=False)
        for listener in self._listeners:
            listener()

    def _delta(self, kind: EventKind, key: str, revision: int) -> ConfigDelta:
        if kind is EventKind.ENDPOINT:
            endpoint = self._endpoints.get(key)
            if endpoint is None:
                return ConfigDelta(revision=revision, removed_endpoint_ids=[key])
            return ConfigDelta(revision=revision, endpoints=[endpoint])
        token = self._tokens.get(key)
        if token is None:
            return ConfigDelta(revision=revision, removed_token_ids=[key])
        return ConfigDelta(revision=revision, tokens=[token])


def _replace(held: dict[str, T], changed: set[str], found: dict[str, T]) -> None:
    for key in changed:
        held.pop(key, None)
    held.update(found)
