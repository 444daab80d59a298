"""The newest snapshot in memory, and what changed since any revision.

A watcher asks for what changed since the revision that it sent last and gets each resource in its
newest state, many in a message: a slow watcher skips intermediate states and never builds a queue.
Each message has the secrets that its endpoints refer to, so none is anywhere without them.
What takes access away does not wait behind the rest: `urgent_since` gives it by itself.
Before: `builder`. Beside: `secret_values`. After: `servicer`.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice, takewhile
from typing import NamedTuple, TypeVar

from modelserving.worker.v1.hosting_pb2 import ReplicaGroup
from modelserving.worker.v1.snapshot_pb2 import IssuerResource, SecretResource, TokenResource
from modelserving.worker.v1.snapshot_service_pb2 import ConfigDelta, SnapshotChunk

from modelplane.control_plane.snapshots.builder import Resource, ResourceBuilder
from modelplane.control_plane.snapshots.secret_values import SecretValues, names_in
from modelplane.control_plane.store.database import BULK_SECONDS, Database, Session
from modelplane.control_plane.store.events import Event, Head, read_events, read_head
from modelplane.control_plane.store.states import EventKind

# A message holds at most this many resources, and this many bytes unless a single one has more: far
# below gRPC's message limit.
_CHUNK_RESOURCES = 500
_CHUNK_BYTES = 4 * 1024 * 1024

T = TypeVar("T")
# Kind, an `EventKind` or `_SECRET`, and identifier.
_Key = tuple[str, str]
_SECRET = "secret"  # noqa: S105 - the word, not a credential
# Of what goes, this takes access away.
_URGENT = (EventKind.TOKEN, EventKind.PRINCIPAL)


class _Fields(NamedTuple):
    """Fields of a message to a worker."""

    held: str
    removed: str


_FIELDS: Mapping[str, _Fields] = {
    _SECRET: _Fields("rotated_secrets", ""),
    EventKind.ENDPOINT: _Fields("endpoints", "removed_endpoint_ids"),
    EventKind.PRINCIPAL: _Fields("principals", "removed_principal_ids"),
    EventKind.TOKEN: _Fields("tokens", "removed_token_ids"),
    EventKind.ISSUER: _Fields("issuers", "removed_issuers"),
    EventKind.GROUP: _Fields("groups", "removed_group_ids"),
}


class _Change(NamedTuple):
    """What became of a resource by a revision; None: it is gone."""

    revision: int
    kind: str
    key: str
    resource: Resource | SecretResource | None


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
        self._secrets = SecretValues()
        # Secrets by the newest revision of their values, and the endpoints that use them.
        self._rotations: OrderedDict[_Key, int] = OrderedDict()
        self._rotated: OrderedDict[_Key, int] = OrderedDict()
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
        key = EventKind.ENDPOINT, endpoint_id
        return max(self._changes.get(key, 0), self._rotated.get(key, 0))

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
            held = {kind: dict(await self._builder.load(session, kind, None)) for kind in EventKind}
            endpoints = held[EventKind.ENDPOINT].values()
            secrets = await self._load_secrets(session, endpoints, ())
        self._held, self._secrets = held, SecretValues()
        self._secrets.exchange((), endpoints)
        self._secrets.put(secrets)
        self._digests = _digests(held[EventKind.TOKEN].values())
        for changes in self._logs():
            changes.clear()
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

    def changes_since(self, revision: int, *, by_reference: bool = True) -> Iterator[ConfigDelta]:
        """Return the resources that changed after `revision`, oldest change first, in messages.

        Each message holds as many as fit, and brings the worker to the revision of its last one.

        Args:
            revision: Where the worker is.
            by_reference: Whether it takes secrets beside the endpoints, else inside them.
        """
        # Told once, a new value is for all endpoints at a time. One whose own change is in a later
        # message would have it with its old configuration until then, and send it to wherever that
        # says. So it is only told once where all fits into one message.
        if by_reference and next(reversed(self._rotations.values()), 0) > revision:
            found = list(islice(self._deltas(revision, self._rotations, by_reference=True), 2))
            if len(found) == 1:
                return iter(found)
        return self._deltas(revision, self._rotated, by_reference=by_reference)

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

    def chunks(self, *, by_reference: bool = True) -> Iterator[SnapshotChunk]:
        """Return the full snapshot in parts, as it is now; see `changes_since`."""
        head = self._head
        secrets = self._secrets.copy()
        held = {kind: list(resources.values()) for kind, resources in self._held.items()}
        for kind, resources in held.items():
            told = resources if by_reference else map(secrets.inlined, resources)
            for part in _parts(told, secrets.size):
                chunk = SnapshotChunk(
                    revision=head.revision,
                    store_id=head.store_id,
                    secrets=secrets.of(part),
                    by_reference=by_reference,
                )
                getattr(chunk, _FIELDS[kind].held).extend(part)
                yield chunk
        yield SnapshotChunk(revision=head.revision, store_id=head.store_id, last=True)

    def _deltas(
        self, revision: int, rotations: OrderedDict[_Key, int], *, by_reference: bool
    ) -> Iterator[ConfigDelta]:
        """Return what changed, and what a new value of a secret is told as, in messages."""
        newer = heapq.merge(_newer(self._changes, revision), _newer(rotations, revision))
        changes = (self._change(*item, by_reference=by_reference) for item in newer)
        for part in _parts(changes, self._size):
            delta = ConfigDelta(revision=part[-1].revision, by_reference=by_reference)
            for _, kind, key, resource in part:
                _put(delta, kind, key, resource)
            delta.secrets.extend(self._secrets.of(delta.endpoints))
            yield delta

    async def _apply(self, session: Session, events: list[Event]) -> None:
        changed: dict[EventKind, tuple[Collection[str], Mapping[str, Resource]]] = {}
        for kind in EventKind:
            # An endpoint of which a secret's value is all that changed stays as it is.
            keys = {event.key for event in events if event.kind is kind and not event.secret}
            if keys:
                changed[kind] = keys, await self._builder.load(session, kind, keys)
        found = [item for _, resources in changed.values() for item in resources.values()]
        rotated = {event.secret for event in events if event.secret}
        secrets = await self._load_secrets(session, found, rotated)
        # From here on nothing waits, so nobody sees a part of it.
        for kind, (asked, resources) in changed.items():
            self._exchange(kind, asked, resources)
        self._secrets.put(secrets)

    def _exchange(
        self, kind: EventKind, keys: Collection[str], found: Mapping[str, Resource]
    ) -> None:
        held = self._held[kind]
        gone = [held.pop(key) for key in keys if key in held]
        held.update(found)
        if kind is EventKind.ENDPOINT:
            self._secrets.exchange(gone, found.values())
        if kind is EventKind.TOKEN:
            self._digests -= _digests(gone)
            self._digests |= _digests(found.values())

    async def _load_secrets(
        self, session: Session, resources: Iterable[Resource], rotated: Iterable[str]
    ) -> Mapping[str, SecretResource]:
        """Return the secrets that resources refer to, and those of `rotated` that are held."""
        names = {name for name in rotated if name in self._secrets}
        names.update(name for item in resources for name in names_in(item))
        return await self._builder.load_secrets(session, names) if names else {}

    def _note(self, events: list[Event]) -> None:
        for event in events:
            key = (event.kind, event.key)
            if event.secret:
                _put_last(self._rotated, key, event.revision)
                _put_last(self._rotations, (_SECRET, event.secret), event.revision)
                continue
            _put_last(self._changes, key, event.revision)
            self._urgent.pop(key, None)
            if event.kind in _URGENT and event.key not in self._held[event.kind]:
                self._urgent[key] = event.revision

    def _advance(self, head: Head) -> None:
        self._head = head
        for changes in self._logs():
            while changes and next(iter(changes.values())) <= head.compacted:
                changes.popitem(last=False)
        for listener in self._listeners:
            listener()

    def _logs(self) -> tuple[OrderedDict[_Key, int], ...]:
        return self._changes, self._urgent, self._rotations, self._rotated

    def _change(self, revision: int, key: _Key, *, by_reference: bool) -> _Change:
        kind, identifier = key
        if kind == _SECRET:
            return _Change(revision, kind, identifier, self._secrets.find(identifier))
        resource = self._held[EventKind(kind)].get(identifier)
        if resource is not None and not by_reference:
            resource = self._secrets.inlined(resource)
        return _Change(revision, kind, identifier, resource)

    def _size(self, change: _Change) -> int:
        return len(change.key) if change.resource is None else self._secrets.size(change.resource)


def _digests(resources: Iterable[Resource]) -> set[bytes]:
    return {item.digest for item in resources if isinstance(item, TokenResource)}


def _newer(changes: OrderedDict[_Key, int], revision: int) -> Iterator[tuple[int, _Key]]:
    """Yield what changed after `revision`, oldest change first."""
    newer = list(takewhile(lambda item: item[1] > revision, reversed(changes.items())))
    return ((changed_at, key) for key, changed_at in reversed(newer))


def _put_last(changes: OrderedDict[_Key, int], key: _Key, revision: int) -> None:
    changes[key] = revision
    changes.move_to_end(key)


def _put(
    delta: ConfigDelta, kind: str, key: str, resource: Resource | SecretResource | None
) -> None:
    if resource is None:
        # A secret that no endpoint refers to has been forgotten by workers themselves.
        if kind != _SECRET:
            getattr(delta, _FIELDS[kind].removed).append(key)
    else:
        getattr(delta, _FIELDS[kind].held).append(resource)


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
