"""What a worker serves from: frozen objects, swapped as a whole.

`watcher.py` applies what the control plane pushes, of which `builder.py` makes the next snapshot;
`invocation.py` reads `current` once per call and never sees a half-applied change. Who may call is
`callers.py`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelserving.worker.v1 import snapshot_pb2

from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.shared.rpc.metadata import Metadata
from modelplane.data_plane.guardrails.policy import Guardrails
from modelplane.data_plane.hosting.groups import Groups
from modelplane.data_plane.snapshots.callers import Callers
from modelplane.data_plane.snapshots.limits import Limits
from modelplane.data_plane.snapshots.payload_table import PayloadTable
from modelplane.data_plane.snapshots.policy import DEFAULT_POLICY, Policy
from modelplane.data_plane.snapshots.routing import Deck
from modelplane.data_plane.snapshots.secrets import Secrets
from modelplane.data_plane.snapshots.telemetry_tables import TelemetryTables

CAN_QUERY = int(snapshot_pb2.PERMISSION_LEVEL_CAN_QUERY)


@dataclass(frozen=True, slots=True)
class Throughput:
    """What all workers together may send to a served entity.

    Attributes:
        key: Identifies its bucket, in the control plane too; 16 bytes.
        tokens: Tokens per second.
    """

    key: bytes
    tokens: int


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
        group_id: Group of replicas that serves it; empty: a provider does.
        streamable: Whether a hosted model can answer in a stream.
        throughput: What it may be sent; None: as much as it answers.
    """

    name: str
    provider: str
    task: str
    adapter: Adapter = field(repr=False)
    headers: Metadata = field(repr=False)
    upstream: bytes = field(default=b"", repr=False)
    model: str = ""
    group_id: str = ""
    streamable: bool = False
    throughput: Throughput | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Config:
    """One version of an endpoint's configuration, ready to serve.

    Attributes:
        version: Version number.
        task: Task of all its entities; empty: they have none, or not the same.
        hosted: Whether they are hosted models, as all are or none.
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
    hosted: bool = False

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
        aliases: Further names, by which clients may ask for it.
        guardrails: What is looked for in queries and answers; None: nothing.
        payloads: Table in which the payload of each is; None: in none.
        telemetry: Tables in which the telemetry of each is; None: in none.
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
    aliases: tuple[str, ...] = ()
    guardrails: Guardrails | None = None
    payloads: PayloadTable | None = None
    telemetry: TelemetryTables | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one revision."""

    revision: int = 0
    store_id: str = ""
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict, repr=False)
    names: Mapping[str, Endpoint] = field(default_factory=dict, repr=False)
    callers: Callers = field(default_factory=Callers, repr=False)
    aliases: Mapping[str, Endpoint] = field(default_factory=dict, repr=False)
    secrets: Secrets = field(default_factory=Secrets, repr=False)


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
    """Holds the current snapshot, and the groups that serve its hosted models.

    These change by the second and are no part of it.
    """

    def __init__(self, groups: Groups) -> None:
        """Start with nothing.

        Args:
            groups: Takes what is told of groups.
        """
        self.current = Snapshot()
        self.groups = groups
