"""The newest snapshot in memory, and what changed since any revision.

A watcher asks for what changed since the revision that it sent last and gets one message per
resource in its newest state: a slow watcher skips intermediate states and never builds a queue.
Before: `builder`. After: `servicer`.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from modelserving.worker.v1.snapshot_pb2 import IssuerResource
from modelserving.worker.v1.snapshot_service_pb2 import ConfigDelta, SnapshotChunk

from modelplane.control_plane.snapshots.builder import Resource, ResourceBuilder
from modelplane.control_plane.store.database import BULK_SECONDS, Database, Session
from modelplane.control_plane.store.events import Event, Head, read_events, read_head
from modelplane.control_plane.store.states import EventKind

# A part of a full snapshot holds at most this many resources, and this many bytes unless a single
# one has more: far below gRPC's message limit.
_CHUNK_RESOURCES = 500
_CHUNK_BYTES = 4 * 1024 * 1024

_Key = tuple[EventKind, str]


class _Fields(NamedTuple):
    """Fields of a message to a worker."""

    held: str
    removed: str


_FIELDS: Mapping[EventKind, _Fields] = {
    EventKind.ENDPOINT: _Fields("endpoints", "removed_endpoint_ids"),
    EventKind.PRINCIPAL: _Fields("principals", "removed_principal_ids"),
    EventKind.TOKEN: _Fields("tokens", "removed_token_ids"),
    EventKind.ISSUER: _Fields("issuers", "removed_issuers"),
}


class SnapshotCache:
    """Holds every resource, follows the revision log, and wakes the watchers."""

    def __init__(self, database: Database, builder: ResourceBuilder) -> None:
        self._database = database
        self._builder = builder
        self._held: dict[EventKind, dict[str, Resource]] = {kind: {} for kind in EventKind}
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
        return bool(self._held[EventKind.ENDPOINT])

    def issuers(self) -> dict[str, IssuerResource]:
        """Return the issuers of JWTs by their `iss` claim."""
        held = self._held[EventKind.ISSUER]
        return {key: item for key, item in held.items() if isinstance(item, IssuerResource)}

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change."""
        self._listeners.append(listener)

    async def load(self) -> None:
        """Read everything.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        async with self._database.read(BULK_SECONDS) as session:
            head = await read_head(session)
            events = await read_events(session, head.compacted, head.revision)
            self._held = {
                kind: dict(await self._builder.load(session, kind, None)) for kind in EventKind
            }
        self._changes.clear()
        self._note(events)
        self._advance(head)

    async def refresh(self) -> None:
        """Read what changed since the last time.

        Raises:
            StoreUnavailable: The database does not answer; the cache stays as it is.
        """
        async with self._database.read(BULK_SECONDS) as session:
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
        held = {kind: list(resources.values()) for kind, resources in self._held.items()}
        for kind, resources in held.items():
            for part in _parts(resources):
                chunk = SnapshotChunk(revision=head.revision, store_id=head.store_id)
                getattr(chunk, _FIELDS[kind].held).extend(part)
                yield chunk
        yield SnapshotChunk(revision=head.revision, store_id=head.store_id, last=True)

    async def _apply(self, session: Session, events: list[Event]) -> None:
        for kind in EventKind:
            keys = {event.key for event in events if event.kind is kind}
            if keys:
                found = await self._builder.load(session, kind, keys)
                held = self._held[kind]
                for key in keys:
                    held.pop(key, None)
                held.update(found)

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
        delta = ConfigDelta(revision=revision)
        resource = self._held[kind].get(key)
        if resource is None:
            getattr(delta, _FIELDS[kind].removed).append(key)
        else:
            getattr(delta, _FIELDS[kind].held).append(resource)
        return delta


def _parts(resources: Iterable[Resource]) -> Iterator[Sequence[Resource]]:
    part: list[Resource] = []
    size = 0
    for resource in resources:
        own = resource.ByteSize()
        if part and (len(part) == _CHUNK_RESOURCES or size + own > _CHUNK_BYTES):
            yield part
            part, size = [], 0
        part.append(resource)
        size += own
    if part:
        yield part
