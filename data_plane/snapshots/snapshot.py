"""What a worker serves from: messages compiled to frozen objects, swapped as a whole.

`watcher.py` applies what the control plane pushes; `invocation.py` reads `current` once
per call and never sees a half-applied change. A configuration that did not change keeps its
compiled form, so activating what was prepared costs nothing. Who may call is `callers.py`'s.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from random import Random
from sys import intern

from modelserving.v1 import endpoint_pb2
from modelserving.worker.v1 import snapshot_pb2, snapshot_service_pb2

from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.providers.errors import ConfigRefused
from modelplane.adapters.providers.registry import build_adapter
from modelplane.adapters.providers.unavailable import UnavailableAdapter
from modelplane.adapters.shared.rpc.metadata import CONFIG_VERSION, SERVED_MODEL, Metadata
from modelplane.data_plane.snapshots.callers import Callers, CallersBuilder
from modelplane.data_plane.snapshots.draft import Draft
from modelplane.data_plane.snapshots.limits import Limits, compile_limits
from modelplane.data_plane.snapshots.policy import DEFAULT_POLICY, Policy, compile_policy
from modelplane.data_plane.snapshots.routing import Deck

CAN_QUERY = int(snapshot_pb2.PERMISSION_LEVEL_CAN_QUERY)


@dataclass(frozen=True, slots=True)
class ServedEntity:
    """One model behind an endpoint.

    Attributes:
        name: Name, unique in the endpoint.
        provider: Provider that hosts it; empty for a hosted model.
        task: What it does, for example `llm/v1/chat`.
        adapter: Translates its queries.
        headers: Metadata of each of its answers.
        upstream: Digest of where and how its endpoint calls it: the same for the same external
            model.
        model: Name of the model at the provider.
    """

    name: str
    provider: str
    task: str
    adapter: Adapter = field(repr=False)
    headers: Metadata = field(repr=False)
    upstream: bytes = field(default=b"", repr=False)
    model: str = ""


@dataclass(frozen=True, slots=True)
class Config:
    """One version of an endpoint's configuration, ready to serve.

    Attributes:
        version: Version number.
        task: Task of all its entities.
        entities: Served entities, in order.
        deck: Splits the traffic over `entities`.
        shares: Name and share of each of them.
        created: Creation of the oldest entity, seconds since the epoch.
        fingerprint: Digest of everything that was compiled.
    """

    version: int
    task: str
    entities: tuple[ServedEntity, ...]
    deck: Deck = field(repr=False)
    shares: tuple[tuple[str, int], ...] = field(repr=False)
    created: int
    fingerprint: bytes = field(repr=False)

    def entity(self, name: str) -> ServedEntity | None:
        """Return the served entity of that name, whatever its share."""
        return next((entity for entity in self.entities if entity.name == name), None)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint.

    Attributes:
        id: Identifier.
        name: Name that callers query.
        active: Configuration that serves.
        obstacle: Why none does, for callers; empty while that passes by itself.
        prepared: Configuration that is ready to.
        grants: Permission levels by identifiers of principals and groups.
        policy: What happens when an upstream fails or is slow.
        limits: How much may be used of it; None: without a limit.
        tracks_usage: Whether the usage of each query is recorded.
    """

    id: str
    name: str
    active: Config | None
    prepared: Config | None
    grants: Mapping[str, int] = field(default_factory=dict, repr=False)
    policy: Policy = DEFAULT_POLICY
    limits: Limits | None = None
    tracks_usage: bool = False
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one revision."""

    revision: int = 0
    store_id: str = ""
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict, repr=False)
    names: Mapping[str, Endpoint] = field(default_factory=dict, repr=False)
    callers: Callers = field(default_factory=Callers, repr=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """A configuration that did not compile; the endpoint keeps what it had.

    Attributes:
        endpoint_id: Endpoint.
        config_version: Version of the configuration.
        reason: Why, for its author.
        serving: Whether the endpoint had something to keep, or lacks only what was to be prepared.
    """

    endpoint_id: str
    config_version: int
    reason: str
    serving: bool = False


class Snapshots:
    """Holds the current snapshot."""

    def __init__(self) -> None:
        self.current = Snapshot()


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
        self._callers = CallersBuilder(start.callers)

    def apply(self, delta: snapshot_service_pb2.ConfigDelta) -> None:
        """Apply changes."""
        self.remove(delta)
        self.put_endpoints(delta.endpoints)
        self.put_callers(delta)

    def remove(self, delta: snapshot_service_pb2.ConfigDelta) -> None:
        """Take out what is gone, which comes before what is new: that may have its name."""
        for endpoint_id in delta.removed_endpoint_ids:
            self._remove_endpoint(endpoint_id)
        self._callers.remove(delta)

    def put_endpoints(self, resources: Iterable[snapshot_pb2.EndpointResource]) -> None:
        """Compile endpoints; what fails is noted in `failures`."""
        for resource in resources:
            endpoint, failure = compile_endpoint(
                resource, self._base.endpoints.get(resource.id), self._random
            )
            self._endpoints.write[endpoint.id] = self._names.write[endpoint.name] = endpoint
            if failure:
                self.failures.append(failure)

    def put_callers(
        self, message: snapshot_service_pb2.ConfigDelta | snapshot_service_pb2.SnapshotChunk
    ) -> None:
        """Add those who may call."""
        self._callers.put(message)

    def build(self, revision: int, store_id: str) -> Snapshot:
        """Return the snapshot."""
        endpoints, names = self._endpoints.read, self._names.read
        return Snapshot(revision, store_id, endpoints, names, self._callers.build())

    def gone(self) -> list[str]:
        """Return the names that no endpoint has any longer."""
        return [name for name in self._removed if name not in self._names.read]

    def _remove_endpoint(self, endpoint_id: str) -> None:
        endpoint = self._endpoints.pop(endpoint_id)
        # The name may already belong to an endpoint that was created after this one was deleted.
        if endpoint and self._names.read.get(endpoint.name) is endpoint:
            self._names.pop(endpoint.name)
            self._removed.append(endpoint.name)


def compile_endpoint(
    resource: snapshot_pb2.EndpointResource, old: Endpoint | None, random: Random
) -> tuple[Endpoint, Failure | None]:
    """Return the endpoint to serve, and the failure if one of its configurations is refused.

    A configuration that is refused leaves in place what `old` had for it.
    """
    known = [config for config in (old.active, old.prepared) if config] if old else []
    active = prepared = failure = None
    if resource.HasField("prepared"):
        prepared, failure = _try_compile(resource.id, resource.prepared, known, random)
    if resource.HasField("active"):
        active, refused = _try_compile(resource.id, resource.active, known, random)
        if refused:
            active, failure = (old.active if old else None), refused
    if failure:
        failure = replace(failure, serving=active is not None)
    grants = {intern(grant.grantee_id): int(grant.level) for grant in resource.grants}
    policy = compile_policy(resource.ai_gateway)
    limits = compile_limits(resource)
    tracks_usage = resource.ai_gateway.usage_tracking_config.enabled
    obstacle = "" if active else _obstacle(resource, failure)
    endpoint = Endpoint(
        resource.id, resource.name, active, prepared, grants, policy, limits, tracks_usage, obstacle
    )
    return endpoint, failure


def _obstacle(resource: snapshot_pb2.EndpointResource, failure: Failure | None) -> str:
    """Return why an endpoint serves nothing, unless that passes with the rollout under way."""
    if resource.HasField("prepared"):
        return ""
    if failure:
        return f"its configuration cannot be served: {failure.reason}"
    if resource.failure:
        return f"its configuration could not be rolled out: {resource.failure}"
    return "it has no configuration; update it with one"


def _try_compile(
    endpoint_id: str, message: endpoint_pb2.EndpointConfig, known: Sequence[Config], random: Random
) -> tuple[Config | None, Failure | None]:
    try:
        return compile_config(message, known, random, endpoint_id), None
    except ConfigRefused as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - a bug in one adapter must not stop the others
        reason = f"the worker failed to compile the configuration ({type(error).__name__})"
    return None, Failure(endpoint_id, message.config_version, reason)


def compile_config(
    message: endpoint_pb2.EndpointConfig,
    known: Sequence[Config],
    random: Random,
    endpoint_id: str = "",
) -> Config:
    """Return the compiled form of a configuration, one of `known` where nothing changed.

    Args:
        message: The configuration.
        known: What the endpoint has had before.
        random: Source of the order in which traffic is dealt.
        endpoint_id: The endpoint.

    Raises:
        ConfigRefused: It cannot be served; the text is for its author.
    """
    fingerprint = _fingerprint(message)
    for config in known:
        if config.fingerprint == fingerprint:
            return config
    entities = tuple(
        _compile_entity(item, message, endpoint_id) for item in message.served_entities
    )
    if not entities:
        raise ConfigRefused("the configuration has no served entity")
    created = min(int(item.creation_timestamp / 1000) for item in message.served_entities)
    weights = _weights(message)
    names = (entity.name for entity in entities)
    return Config(
        message.config_version,
        entities[0].task,
        entities,
        Deck(weights, random),
        tuple(zip(names, weights, strict=True)),
        created,
        fingerprint,
    )


def _compile_entity(
    item: endpoint_pb2.ServedEntity, config: endpoint_pb2.EndpointConfig, endpoint_id: str
) -> ServedEntity:
    headers = ((SERVED_MODEL, item.name), (CONFIG_VERSION, str(config.config_version)))
    if not item.HasField("external_model"):
        what = item.entity_name or item.name
        return ServedEntity(item.name, "", "", UnavailableAdapter(what), headers)
    model = item.external_model
    try:
        adapter = build_adapter(model)
    except ConfigRefused as error:
        raise ConfigRefused(f"served entity '{item.name}': {error}") from None
    provider, task = intern(model.provider), intern(model.task)
    # Of the endpoint too: who may break it, by a short deadline for one, must depend on it.
    upstream = sha256(endpoint_id.encode() + b"\0" + model.SerializeToString(deterministic=True))
    return ServedEntity(item.name, provider, task, adapter, headers, upstream.digest(), model.name)


def _weights(message: endpoint_pb2.EndpointConfig) -> list[int]:
    """Return each entity's share; without a split all shares are equal."""
    if not message.traffic_config.routes:
        return [1] * len(message.served_entities)
    shares = {
        route.served_entity_name or route.served_model_name: route.traffic_percentage
        for route in message.traffic_config.routes
    }
    weights = [max(0, shares.get(item.name, 0)) for item in message.served_entities]
    if not any(weights):
        raise ConfigRefused("no served entity gets traffic")
    return weights


def _fingerprint(message: endpoint_pb2.EndpointConfig) -> bytes:
    """Return a digest of all that is compiled; progress of a rollout is no part of it."""
    digest = sha256(str(message.config_version).encode())
    for item in message.served_entities:
        model = item.external_model.SerializeToString(deterministic=True)
        parts = (item.name, item.entity_name, len(model))
        digest.update(repr(parts).encode())
        digest.update(model)
    digest.update(message.traffic_config.SerializeToString(deterministic=True))
    return digest.digest()
