"""The secrets that the endpoints of a snapshot refer to, and their values.

Workers are told them beside the endpoints, so that a new value is one small message, however many
endpoints use it. Workers of the release before are told endpoints with the values inside.
Before: `builder`. Beside: `cache`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from modelserving.worker.v1.snapshot_pb2 import EndpointResource, SecretResource

from modelplane.adapters.shared.credential_slots import fill_in
from modelplane.control_plane.snapshots.builder import Resource


class SecretValues:
    """Holds each secret for as long as an endpoint refers to it."""

    def __init__(self, held: Mapping[str, SecretResource] | None = None) -> None:
        self._held = dict(held or {})
        # How many endpoints refer to each.
        self._users: Counter[str] = Counter()

    def __contains__(self, name: str) -> bool:
        """Tell whether an endpoint refers to a secret."""
        return name in self._users

    def copy(self) -> "SecretValues":
        """Return the secrets as they are now, to be read."""
        return SecretValues(self._held)

    def exchange(self, gone: Iterable[Resource], come: Iterable[Resource]) -> None:
        """Count the users anew, when some resources take the place of others."""
        for resource in come:
            self._users.update(names_in(resource))
        for resource in gone:
            for name in names_in(resource):
                self._users[name] -= 1
                if not self._users[name]:
                    del self._users[name]
                    self._held.pop(name, None)

    def put(self, secrets: Mapping[str, SecretResource]) -> None:
        """Take the values of secrets that endpoints refer to."""
        self._held.update((name, item) for name, item in secrets.items() if name in self._users)

    def find(self, name: str) -> SecretResource | None:
        """Return a secret, unless no endpoint refers to it any longer."""
        return self._held.get(name)

    def of(self, resources: Iterable[Resource]) -> list[SecretResource]:
        """Return the secrets that resources refer to, each once."""
        return self._all(dict.fromkeys(name for item in resources for name in names_in(item)))

    def size(self, resource: Resource | SecretResource) -> int:
        """Return how many bytes a resource takes with the secrets that it refers to."""
        names = names_in(resource)
        return resource.ByteSize() + sum(item.ByteSize() for item in self._all(names))

    def inlined(self, resource: Resource) -> Resource:
        """Return a resource with values in the place of references."""
        if not isinstance(resource, EndpointResource) or not resource.secret_names:
            return resource
        copy = EndpointResource()
        copy.CopyFrom(resource)
        copy.ClearField("secret_names")
        found = self._all(resource.secret_names)
        values = {item.name: item.value for item in found if item.HasField("value")}
        for field in ("active", "prepared"):
            if copy.HasField(field):
                fill_in(getattr(copy, field), values)
        return copy

    def _all(self, names: Iterable[str]) -> list[SecretResource]:
        return [found for name in names if (found := self._held.get(name))]


def names_in(resource: Resource | SecretResource) -> Iterable[str]:
    """Return the secrets that a resource refers to."""
    return resource.secret_names if isinstance(resource, EndpointResource) else ()
