"""The newest snapshot in memory, and what changed since any revision.

A watcher asks for what changed since the revision that it sent last and gets each resource in its
newest state, many in a message: a slow watcher skips intermediate states and never builds a queue.
What takes access away does not wait behind the rest: `urgent_since` gives it by itself.
Before: `builder`. After: `servicer`.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple, TypeVar

from modelserving.worker.v1.hosting_pb2 import ReplicaGroup
from modelserving.worker.v1.snapshot_pb2 import IssuerResource, TokenResource
from modelserving.worker.v1.snapshot_service_pb2 import ConfigDelta, SnapshotChunk

from modelplane.control_plane.snapshots.builder import Resource, ResourceBuilder
from modelplane.control_plane.store.database import BULK_SECONDS, Database, Session
from modelplane.control_plane.store.events import Event, Head, read_events, read_head
from modelplane.control_plane.store.states import EventKind

# A message holds at most this many resources, and this many bytes unless a single one has more: far
# below gRPC's message limit.
_CHUNK_RESOURCES = 500
_CHUNK_BYTES = 4 * 1024 * 1024

T = TypeVar("T")
_Key = tuple[EventKind, str]
# Of what goes, this takes access away.
_URGENT = (EventKind.TOKEN, EventKind.PRINCIPAL)


class _Fields(NamedTuple):
    """Fields of a message to a worker."""

    held: str
    removed: str


_FIELDS: Mapping[EventKind, _Fields] = {
    EventKind.ENDPOINT: _Fields("endpoints", "removed_endpoint_ids"),
    EventKind.PRINCIPAL: _Fields("principals", "removed_principal_ids"),
    EventKind.TOKEN: _Fields("tokens", "removed_token_ids"),
    EventKind.ISSUER: _Fields("issuers", "removed_issuers"),
    EventKind.GROUP: _Fields("groups", "removed_group_ids"),
}


class SnapshotCache:
    """Holds every resource, follows the revision log, and wakes the watchers."""

    def __init__(self, database: Database, builder: ResourceBuilder) -> None:
        self._database = database
        self._builder = builder
        self._held: dict[EventKind, dict[str, Resource]] = {kind: {} for kind in EventKind}
        # Of the tokens among them.
        self._digests: set[bytes] = set()
        # Newest revision of each resource that changed, removed ones included, oldest first.
        self._changes: OrderedDict[_Key, int] = OrderedDict()
        # The tokens and principals among them that are gone.
        self._urgent: OrderedDict[_Key, int] = OrderedDict()
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

    @property
    def holds_groups(self) -> bool:
        """Whether there is any group of replicas."""
        return bool(self._held[EventKind.GROUP])

    def group(self, group_id: str) -> ReplicaGroup | None:
        """Return what workers are told of a group, if there is one."""
        found = self._held[EventKind.GROUP].get(group_id)
        return found if isinstance(found, ReplicaGroup) else None

    def groups(self) -> list[ReplicaGroup]:
        """Return what workers are told of all groups."""
        held = self._held[EventKind.GROUP].values()
        return [item for item in held if isinstance(item, ReplicaGroup)]

    def changed_at(self, endpoint_id: str) -> int:
        """Return the newest revision of an endpoint; 0: it has not changed for long."""
        return self._changes.get((EventKind.ENDPOINT, endpoint_id), 0)

    def issuers(self) -> dict[str, IssuerResource]:
        """Return the issuers of JWTs by their `iss` claim."""
        held = self._held[EventKind.ISSUER]
        return {key: item for key, item in held.items() if isinstance(item, IssuerResource)}

    def knows_token(self, digest: bytes) -> bool:
        """Tell whether an access token with this digest was there at the cache's revision."""
        return digest in self._digests

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
        self._digests = _digests(self._held[EventKind.TOKEN].values())
        self._changes.clear()
        self._urgent.clear()
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

    def changes_since(self, revision: int) -> Iterator[ConfigDelta]:
        """Return the resources that changed after `revision`, oldest change first, in messages.

        Each message holds as many as fit, and brings the worker to the revision of its last one.
        """
        newer = ((at, self._resource(*key)) for at, key in _newer(self._changes, revision))
        for part in _parts(newer, lambda item: _size(item[1])):
            delta = ConfigDelta(revision=part[-1][0])
            for _, (kind, key, resource) in part:
                _put(delta, kind, key, resource)
            yield delta

    def urgent_since(self, revision: int, worker_revision: int) -> tuple[ConfigDelta | None, int]:
        """Return the tokens and principals that went after `revision`, ahead of all other changes.

        Args:
            revision: Newest revision that this was asked for.
            worker_revision: Where the worker is, and stays: what lies between is yet to come.

        Returns:
            The message, if any went, and the revision to ask for next time.
        """
        if self.revision <= revision:
            return None, revision
        delta = ConfigDelta(revision=worker_revision)
        gone = list(_newer(self._urgent, revision))
        for _, (kind, key) in gone:
            _put(delta, kind, key, None)
        return (delta if gone else None), self.revision

    def chunks(self) -> Iterator[SnapshotChunk]:
        """Return the full snapshot in parts, as it is now."""
        head = self._head
        held = {kind: list(resources.values()) for kind, resources in self._held.items()}
        for kind, resources in held.items():
            for part in _parts(resources, lambda item: item.ByteSize()):
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
                gone = [held.pop(key) for key in keys if key in held]
                held.update(found)
                if kind is EventKind.TOKEN:
                    self._digests -= _digests(gone)
                    self._digests |= _digests(found.values())

    def _note(self, events: list[Event]) -> None:
        for event in events:
            key = (event.kind, event.key)
            self._changes[key] = event.revision
            self._changes.move_to_end(key)
            self._urgent.pop(key, None)
            if event.kind in _URGENT and event.key not in self._held[event.kind]:
                self._urgent[key] = event.revision

    def _advance(self, head: Head) -> None:
        self._head = head
        for changes in (self._changes, self._urgent):
            while changes and next(iter(changes.values())) <= head.compacted:
                changes.popitem(last=False)
        for listener in self._listeners:
            listener()

    def _resource(self, kind: EventKind, key: str) -> tuple[EventKind, str, Resource | None]:
        return kind, key, self._held[kind].get(key)


def _digests(resources: Iterable[Resource]) -> set[bytes]:
    return {item.digest for item in resources if isinstance(item, TokenResource)}


def _newer(changes: OrderedDict[_Key, int], revision: int) -> Iterator[tuple[int, _Key]]:
    """Yield what changed after `revision`, oldest change first."""
    newer = list(takewhile(lambda item: item[1] > revision, reversed(changes.items())))
    return ((changed_at, key) for key, changed_at in reversed(newer))


def _put(delta: ConfigDelta, kind: EventKind, key: str, resource: Resource | None) -> None:
    if resource is None:
        getattr(delta, _FIELDS[kind].removed).append(key)
    else:
        getattr(delta, _FIELDS[kind].held).append(resource)


def _size(item: tuple[EventKind, str, Resource | None]) -> int:
    _, key, resource = item
    return len(key) if resource is None else resource.ByteSize()


def _parts(items: Iterable[T], size_of: Callable[[T], int]) -> Iterator[Sequence[T]]:
    part: list[T] = []
    size = 0
    for item in items:
        own = size_of(item)
        if part and (len(part) == _CHUNK_RESOURCES or size + own > _CHUNK_BYTES):
            yield part
            part, size = [], 0
        part.append(item)
        size += own
    if part:
        yield part
