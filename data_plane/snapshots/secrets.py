"""The secrets that endpoints refer to, which come beside them.

A new value comes alone, and all endpoints that refer to it are compiled anew, from what they were
told as. Used by `builder`. Beside: `draft`.
"""

from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import NamedTuple

from modelserving.worker.v1.snapshot_pb2 import EndpointResource, SecretResource

from modelplane.adapters.shared.credential_slots import fill_in
from modelplane.data_plane.snapshots.draft import Draft


class Referring(NamedTuple):
    """An endpoint that refers to secrets.

    Attributes:
        names: The secrets.
        resource: The endpoint, an `EndpointResource`, without their values.
    """

    names: tuple[str, ...]
    resource: bytes


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is known of secrets.

    Attributes:
        values: Values by name, those that there are.
        endpoints: The endpoints that refer to any, by identifier.
        users: How many of them refer to each.
        inlined: Whether an endpoint came with values inside, from a control plane of the release
            before, which tells no secrets.
    """

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    endpoints: Mapping[str, Referring] = field(default_factory=dict, repr=False)
    users: Mapping[str, int] = field(default_factory=dict, repr=False)
    inlined: bool = False


class SecretsBuilder:
    """Makes what is known next."""

    def __init__(self, base: Secrets) -> None:
        """Start from what is known."""
        self._values = Draft(base.values)
        self._endpoints = Draft(base.endpoints)
        self._users = Draft(base.users)
        self._inlined = base.inlined
        self._touched: set[str] = set()

    def put(self, secrets: Iterable[SecretResource]) -> None:
        """Take the values that the endpoints to come refer to."""
        for secret in secrets:
            name = intern(secret.name)
            self._touched.add(name)
            if secret.HasField("value"):
                self._values.write[name] = secret.value
            else:
                self._values.pop(name)

    def rotate(
        self, secrets: Collection[SecretResource], but: Container[str]
    ) -> Iterator[EndpointResource]:
        """Take new values; return the endpoints that refer to any, except those `but` of these ids.

        They are to be compiled anew: what refused a value before has to say so of the newer
        revision, too.
        """
        self.put(secrets)
        names = {secret.name for secret in secrets}
        found = [
            item.resource
            for key, item in self._endpoints.read.items()
            if key not in but and not names.isdisjoint(item.names)
        ]
        return map(EndpointResource.FromString, found)

    def take(self, resource: EndpointResource) -> None:
        """Note which secrets an endpoint refers to, and put their values into it."""
        names = tuple(intern(name) for name in resource.secret_names)
        if not names:
            self.drop(resource.id)
            return
        before = self._endpoints.read.get(resource.id)
        if before is None or before.names != names:
            for name in names:
                self._users.write[name] = self._users.read.get(name, 0) + 1
            self.drop(resource.id)
        self._endpoints.write[resource.id] = Referring(names, resource.SerializeToString())
        for which in ("active", "prepared"):
            if resource.HasField(which):
                fill_in(getattr(resource, which), self._values.read)

    def drop(self, endpoint_id: str) -> None:
        """Forget an endpoint."""
        gone = self._endpoints.pop(endpoint_id)
        for name in gone.names if gone else ():
            self._touched.add(name)
            self._users.write[name] -= 1
            if not self._users.read[name]:
                self._users.pop(name)

    def note_inlined(self) -> None:
        """Note that endpoints came with values inside."""
        self._inlined = True

    def build(self) -> Secrets:
        """Return what is known, without the secrets that no endpoint refers to any longer."""
        for name in self._touched - self._users.read.keys():
            self._values.pop(name)
        values, endpoints = self._values.read, self._endpoints.read
        return Secrets(values, endpoints, self._users.read, self._inlined)
