"""Makes the next snapshot out of the current one and what the control plane pushed.

Used by `watcher.py`; `compilation.py` compiles, `snapshot.py` is what comes out.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from random import Random
from typing import TypeAlias

from modelserving.worker.v1 import snapshot_pb2, snapshot_service_pb2

from modelplane.data_plane.snapshots.callers import CallersBuilder
from modelplane.data_plane.snapshots.compilation import compile_endpoint
from modelplane.data_plane.snapshots.draft import Draft
from modelplane.data_plane.snapshots.secrets import SecretsBuilder
from modelplane.data_plane.snapshots.snapshot import Endpoint, Failure, Snapshot

_Message: TypeAlias = snapshot_service_pb2.ConfigDelta | snapshot_service_pb2.SnapshotChunk


class SnapshotBuilder:
    """Makes the next snapshot out of the current one and what the control plane pushed."""

    def __init__(self, base: Snapshot, random: Random, *, empty: bool = False) -> None:
        """Start from a snapshot.

        Args:
            base: Current snapshot; what it compiled is reused.
            random: Source of the order in which traffic is dealt.
            empty: Start with nothing, as for a full snapshot.
        """
        self.failures: list[Failure] = []
        self._base = base
        self._random = random
        start = Snapshot() if empty else base
        self._removed = list(base.names) if empty else []
        self._endpoints = Draft(start.endpoints)
        self._names = Draft(start.names)
        self._aliases = Draft(start.aliases)
        self._callers = CallersBuilder(start.callers)
        self._secrets = SecretsBuilder(start.secrets)

    def apply(self, delta: snapshot_service_pb2.ConfigDelta) -> None:
        """Apply changes."""
        self.remove(delta)
        self.put_endpoints(self.endpoints_of(delta))
        self.put_callers(delta)

    def remove(self, delta: snapshot_service_pb2.ConfigDelta) -> None:
        """Take out what is gone, which comes before what is new: that may have its name."""
        for endpoint_id in delta.removed_endpoint_ids:
            self._remove_endpoint(endpoint_id)
        self._callers.remove(delta)

    def endpoints_of(self, message: _Message) -> Iterator[snapshot_pb2.EndpointResource]:
        """Take the secrets in a message; return the endpoints to be compiled for it."""
        if message.endpoints and not message.by_reference:
            self._secrets.note_inlined()
        self._secrets.put(message.secrets)
        rotated: Iterable[snapshot_pb2.EndpointResource] = ()
        if isinstance(message, snapshot_service_pb2.ConfigDelta) and message.rotated_secrets:
            told = {resource.id for resource in message.endpoints}
            rotated = self._secrets.rotate(message.rotated_secrets, told)
        return chain(rotated, message.endpoints)

    def put_endpoints(self, resources: Iterable[snapshot_pb2.EndpointResource]) -> None:
        """Compile endpoints; what fails is noted in `failures`."""
        for resource in resources:
            self._secrets.take(resource)
            endpoint, failure = compile_endpoint(
                resource, self._base.endpoints.get(resource.id), self._random
            )
            self._remove_aliases(self._endpoints.read.get(endpoint.id))
            self._endpoints.write[endpoint.id] = self._names.write[endpoint.name] = endpoint
            for alias in endpoint.aliases:
                self._aliases.write[alias] = endpoint
            if failure:
                self.failures.append(failure)

    def put_callers(self, message: _Message) -> None:
        """Add those who may call."""
        self._callers.put(message)

    def build(self, revision: int, store_id: str) -> Snapshot:
        """Return the snapshot."""
        endpoints, names = self._endpoints.read, self._names.read
        callers, aliases = self._callers.build(), self._aliases.read
        secrets = self._secrets.build()
        return Snapshot(revision, store_id, endpoints, names, callers, aliases, secrets)

    def gone(self) -> list[str]:
        """Return the names that no endpoint has any longer."""
        return [name for name in self._removed if name not in self._names.read]

    def _remove_endpoint(self, endpoint_id: str) -> None:
        endpoint = self._endpoints.pop(endpoint_id)
        self._secrets.drop(endpoint_id)
        self._remove_aliases(endpoint)
        # The name may already belong to an endpoint that was created after this one was deleted.
        if endpoint and self._names.read.get(endpoint.name) is endpoint:
            self._names.pop(endpoint.name)
            self._removed.append(endpoint.name)

    def _remove_aliases(self, endpoint: Endpoint | None) -> None:
        for alias in endpoint.aliases if endpoint else ():
            # It may already be one of another endpoint's.
            if self._aliases.read.get(alias) is endpoint:
                self._aliases.pop(alias)
