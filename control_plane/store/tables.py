"""The SQL tables. Rows never leave `control_plane.store`.

Times are milliseconds since the epoch. A column of bytes holds one serialized message: to add a
field is no change of a table. Others need a migration, and then `python -m tests.newest_schema`.
"""

from sqlalchemy import (
    BigInteger,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel

from modelplane.control_plane.store.states import LastUpdate, Outcome, Phase


class RevisionRow(SQLModel, table=True):
    """The one counter. Locking its row orders revisions by commit."""

    __tablename__ = "revision"

    id: int = Field(default=1, primary_key=True)
    # Newest revision handed out.
    revision: int = Field(sa_type=BigInteger)
    # Events up to this revision have been deleted.
    compacted: int = Field(sa_type=BigInteger)
    # Tells one store from another, so that a worker never resumes against the wrong one.
    store_id: str
    # Newest revision of `EndpointChangeRow`, which counts by itself.
    changes: int = Field(default=0, sa_type=BigInteger)


class EventRow(SQLModel, table=True):
    """One change that workers must learn of: the log behind the watch streams."""

    __tablename__ = "event"

    revision: int = Field(primary_key=True, sa_type=BigInteger)
    kind: str
    # Identifier of what changed; of an issuer, its `iss` claim.
    key: str
    # The secret, as `scope/key`, whose new value is all that changed of an endpoint.
    secret: str | None = None


class EndpointRow(SQLModel, table=True):
    """A serving endpoint and the state of its rollout."""

    __tablename__ = "endpoint"
    # In whose order lists may be read.
    __table_args__ = tuple(
        Index(f"endpoint_by_{column}", column, "name")
        for column in ("created_ms", "updated_ms", "creator")
    )

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    creator: str
    # Identifier of the creator's principal.
    creator_id: str
    # Levels by identifiers of principals and groups, such as {"123": "CAN_QUERY"}. Those of
    # principals that are gone are left in place: identifiers are never used twice.
    grants_json: str = "{}"
    created_ms: int = Field(sa_type=BigInteger)
    updated_ms: int = Field(sa_type=BigInteger)
    # EndpointSettings.
    settings: bytes = Field(sa_type=LargeBinary)
    # Highest version handed out; versions are never used twice.
    last_version: int = 0
    # Version that serves traffic.
    active_version: int | None = None
    # Version being rolled out; with the phase settled, the one whose rollout failed last.
    pending_version: int | None = None
    phase: str = Field(default=Phase.SETTLED, index=True)
    # Revision that the workers must have acknowledged for the phase to end.
    phase_revision: int = Field(default=0, sa_type=BigInteger)
    last_update: str = LastUpdate.NOT_UPDATING
    last_update_message: str = ""
    # Whether at least one worker has applied the active version.
    ready: bool = Field(default=False, index=True)
    # Whether its active version is at rest, without processes, until another one is activated.
    stopped: bool = False
    # Revision at which the active version became active.
    activated_revision: int = Field(default=0, sa_type=BigInteger)


class EndpointAliasRow(SQLModel, table=True):
    """A further name of an endpoint, by which clients may ask for it."""

    __tablename__ = "endpoint_alias"

    alias: str = Field(primary_key=True)
    endpoint_id: str = Field(foreign_key="endpoint.id", ondelete="CASCADE", index=True)


class PayloadTableRow(SQLModel, table=True):
    """A payload table, and the endpoint that may write it."""

    __tablename__ = "payload_table"

    # Full name: catalog, schema and name, with dots, in lower case.
    location: str = Field(primary_key=True)
    # It stays when the endpoint is gone, as the table does.
    endpoint_id: str
    # Identifier of the principal that created the endpoint.
    creator_id: str
    # What its rows are (`adapters/shared/telemetry_tables.py`), which stays, too.
    kind: str = ""


class RefusalRow(SQLModel, table=True):
    """What a worker said last against the configuration that an endpoint is to serve."""

    __tablename__ = "refusal"

    endpoint_id: str = Field(primary_key=True, foreign_key="endpoint.id", ondelete="CASCADE")
    # Revision that was refused.
    revision: int = Field(sa_type=BigInteger)
    # Whether every worker that refused goes on serving what it had.
    serving: bool
    message: str


class EndpointConfigRow(SQLModel, table=True):
    """One version of an endpoint's configuration; the content never changes."""

    __tablename__ = "endpoint_config"

    endpoint_id: str = Field(primary_key=True, foreign_key="endpoint.id", ondelete="CASCADE")
    version: int = Field(primary_key=True)
    # EndpointConfig without any plaintext credential, else as it is pushed.
    config: bytes = Field(sa_type=LargeBinary)
    # HostedModels: what its hosted entities mean.
    hosted: bytes = Field(default=b"", sa_type=LargeBinary)
    creator: str
    created_ms: int = Field(sa_type=BigInteger)
    outcome: str = Outcome.PENDING
    outcome_message: str = ""


class CredentialRow(SQLModel, table=True):
    """A credential given in plaintext with a version, sealed; dies with its endpoint."""

    __tablename__ = "credential"

    endpoint_id: str = Field(primary_key=True, foreign_key="endpoint.id", ondelete="CASCADE")
    version: int = Field(primary_key=True)
    # Served entity and field, for example `chat/openai_config.openai_api_key_plaintext`.
    path: str = Field(primary_key=True)
    sealed: bytes = Field(sa_type=LargeBinary)


class SecretReferenceRow(SQLModel, table=True):
    """A secret that a version refers to, whether or not it exists; written with the version."""

    __tablename__ = "secret_reference"
    __table_args__ = (
        ForeignKeyConstraint(
            ["endpoint_id", "version"],
            ["endpoint_config.endpoint_id", "endpoint_config.version"],
            ondelete="CASCADE",
        ),
        Index("secret_reference_secret", "scope", "key"),
    )

    endpoint_id: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    scope: str = Field(primary_key=True)
    key: str = Field(primary_key=True)


class SecretScopeRow(SQLModel, table=True):
    """A named set of secrets."""

    __tablename__ = "secret_scope"

    name: str = Field(primary_key=True)
    creator: str
    created_ms: int = Field(sa_type=BigInteger)
    # Permissions by identifiers of principals and groups, such as {"123": "MANAGE"}.
    acl_json: str = "{}"
    # What keeps the secrets. Of another store, the rows of `SecretRow` hold what was read last.
    backend: str = "DATABRICKS"


class SecretRow(SQLModel, table=True):
    """A secret, sealed."""

    __tablename__ = "secret"

    scope: str = Field(primary_key=True, foreign_key="secret_scope.name", ondelete="CASCADE")
    key: str = Field(primary_key=True)
    sealed: bytes = Field(sa_type=LargeBinary)
    updated_ms: int = Field(sa_type=BigInteger)


class PrincipalRow(SQLModel, table=True):
    """A user or a service principal."""

    __tablename__ = "principal"

    id: str = Field(primary_key=True)
    kind: str
    # User name, or application id of a service principal.
    name: str = Field(unique=True)
    display_name: str = ""
    # One that is not active cannot call.
    active: bool = True
    created_ms: int = Field(sa_type=BigInteger)
    # JWTs issued before this time are void.
    tokens_valid_from_ms: int = Field(default=0, sa_type=BigInteger)


class GroupRow(SQLModel, table=True):
    """A group of principals. Of the group `users` all are members without a row."""

    __tablename__ = "principal_group"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    created_ms: int = Field(sa_type=BigInteger)


class GroupMemberRow(SQLModel, table=True):
    """A principal's membership in a group."""

    __tablename__ = "group_member"

    group_id: str = Field(primary_key=True, foreign_key="principal_group.id", ondelete="CASCADE")
    principal_id: str = Field(
        primary_key=True, foreign_key="principal.id", ondelete="CASCADE", index=True
    )


class AccessTokenRow(SQLModel, table=True):
    """An access token, known only by its digest."""

    __tablename__ = "access_token"
    __table_args__ = (UniqueConstraint("digest"),)

    id: str = Field(primary_key=True)
    digest: bytes = Field(sa_type=LargeBinary)
    principal_id: str = Field(foreign_key="principal.id", ondelete="CASCADE", index=True)
    comment: str = ""
    created_ms: int = Field(sa_type=BigInteger)
    # None: never.
    expiry_ms: int | None = Field(default=None, sa_type=BigInteger)
    # Of a session: the token that began it, or itself.
    parent_id: str | None = Field(default=None, index=True)


class ClientSecretRow(SQLModel, table=True):
    """A secret that a service principal logs in with, known only by its digest."""

    __tablename__ = "client_secret"

    id: str = Field(primary_key=True)
    principal_id: str = Field(foreign_key="principal.id", ondelete="CASCADE", index=True)
    digest: bytes = Field(sa_type=LargeBinary)
    created_ms: int = Field(sa_type=BigInteger)
    expiry_ms: int = Field(sa_type=BigInteger)


class SigningKeyRow(SQLModel, table=True):
    """A key pair that tokens of this deployment are signed with."""

    __tablename__ = "signing_key"

    id: str = Field(primary_key=True)
    # DER of SubjectPublicKeyInfo.
    public_key: bytes = Field(sa_type=LargeBinary)
    # Private key, sealed.
    sealed: bytes = Field(sa_type=LargeBinary)
    created_ms: int = Field(sa_type=BigInteger)


class IssuerRow(SQLModel, table=True):
    """An outside issuer whose tokens are accepted, with the keys that it last published."""

    __tablename__ = "issuer"

    issuer: str = Field(primary_key=True)
    # IssuerResource, as it is pushed.
    resource: bytes = Field(sa_type=LargeBinary)


class AuditEventRow(SQLModel, table=True):
    """A change, or refusals that are alike. Holds no credential."""

    __tablename__ = "audit_event"
    # Else SQLite gives the identifier of a deleted event again.
    __table_args__ = {"sqlite_autoincrement": True}

    # Grows with time. SQLite counts up only in a column of its own type of integer.
    id: int | None = Field(
        default=None,
        primary_key=True,
        sa_type=BigInteger().with_variant(Integer, "sqlite"),
    )
    time_ms: int = Field(sa_type=BigInteger, index=True)
    # Empty for callers that could not be told.
    principal_id: str
    principal_name: str
    # Name of the RPC.
    action: str
    object_type: str
    object_name: str
    # Name of the gRPC status.
    outcome: str
    http_status: int
    error_code: str
    request_id: str
    source_address: str
    # How many refusals it stands for.
    count: int = 1
    details_json: str


class EndpointMetricsRow(SQLModel, table=True):
    """What all workers have counted for an endpoint."""

    __tablename__ = "endpoint_metrics"

    endpoint_id: str = Field(primary_key=True, foreign_key="endpoint.id", ondelete="CASCADE")
    # As `control_plane.endpoints.totals` writes it.
    totals_json: str = "{}"
    # Since when the course of it is recorded, by minutes and hours; 0: since the endpoint was made.
    series_from_ms: int = Field(default=0, sa_type=BigInteger)
    # Since and until when it is recorded in steps of five seconds, which is while somebody looks.
    live_from_ms: int = Field(default=0, sa_type=BigInteger)
    live_until_ms: int = Field(default=0, sa_type=BigInteger)


class SeriesRow(SQLModel, table=True):
    """What had been counted of a served entity when a step began in which it was asked.

    A step without a row is one without calls: those of a step are what was counted from its row to
    the next.
    """

    __tablename__ = "series"

    # That row is locked by whoever writes here, and no other needs to be.
    endpoint_id: str = Field(
        primary_key=True, foreign_key="endpoint_metrics.endpoint_id", ondelete="CASCADE"
    )
    # Length of the step.
    step_seconds: int = Field(primary_key=True)
    # Number of the step since the epoch.
    step: int = Field(primary_key=True, sa_type=BigInteger)
    served_entity_name: str = Field(primary_key=True)
    # SeriesCounts.
    counts: bytes = Field(sa_type=LargeBinary)


class MetricsReporterRow(SQLModel, table=True):
    """A worker's process that reports metrics."""

    __tablename__ = "metrics_reporter"

    id: str = Field(primary_key=True)
    # Number of its last report: one that comes again is known by it.
    sequence: int = Field(sa_type=BigInteger)
    # Queries that it was answering then, by identifier of the endpoint.
    in_flight_json: str = "{}"
    seen_ms: int = Field(sa_type=BigInteger)


class ReplicaRow(SQLModel, table=True):
    """What a control-plane replica says of the workers connected to it."""

    __tablename__ = "replica"

    id: str = Field(primary_key=True)
    seen_ms: int = Field(sa_type=BigInteger)
    workers: int
    # Revision that all of them have acknowledged; meaningless without workers.
    acked_revision: int = Field(sa_type=BigInteger)
    # JSON of each of them, at most a second or two old.
    connected: str = "[]"


class QuotaRow(SQLModel, table=True):
    """The counter of one limit, for one window at a time."""

    __tablename__ = "quota"

    # Digest of the endpoint, the rule and the principal.
    key: bytes = Field(primary_key=True, sa_type=LargeBinary)
    # Window that is counted: minutes since the epoch, by the database's clock.
    window: int = Field(sa_type=BigInteger)
    # What workers were granted in it and have not returned, and debt that it paid.
    granted: int = Field(sa_type=BigInteger)
    # What was used beyond what was granted, and no window has had room for yet.
    debt: int = Field(sa_type=BigInteger)
    # What of `granted` is known to be used; the rest may be returned.
    used: int = Field(sa_type=BigInteger)
