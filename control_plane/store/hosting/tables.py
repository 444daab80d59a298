"""The tables of hosted models. Rows never leave `control_plane.store`.

Beside: `tables`. Changes to this file need a migration in `migrations/versions`.
"""

from sqlalchemy import BigInteger, LargeBinary
from sqlmodel import Field, SQLModel

from modelplane.control_plane.store.states import GroupPhase, GroupStep


class ReplicaGroupRow(SQLModel, table=True):
    """The replicas that serve one hosted model of one endpoint, and how they are."""

    __tablename__ = "replica_group"

    id: str = Field(primary_key=True)
    endpoint_id: str = Field(foreign_key="endpoint.id", ondelete="CASCADE", index=True)
    served_entity_name: str
    # HostedModel, of the version that was made last and has not failed.
    model: bytes = Field(sa_type=LargeBinary)
    # Environment variables as they were given: what refers to a secret is not resolved.
    environment_json: str
    # When it was last begun to be deployed.
    begun_ms: int = Field(sa_type=BigInteger)
    # Grows with each change of what the launcher is to do.
    generation: int = Field(sa_type=BigInteger)
    # Replicas that there should be.
    desired: int
    phase: str = GroupPhase.CREATING
    progress: str = GroupStep.WAITING
    message: str = ""
    # Whether a replica has been ready since it was last begun to be deployed.
    ready_once: bool = False
    # How long the newest replica took to start; 0: none has been ready yet.
    start_ms: int = 0
    # When the last request was heard of.
    last_request_ms: int = Field(sa_type=BigInteger)
    # ReplicaGroup with the replicas that can be asked, and nothing else.
    replicas: bytes = Field(default=b"", sa_type=LargeBinary)
    # GroupHistory.
    history: bytes = Field(default=b"", sa_type=LargeBinary)


class GroupLogRow(SQLModel, table=True):
    """The end of a log of a group."""

    __tablename__ = "group_log"

    group_id: str = Field(primary_key=True, foreign_key="replica_group.id", ondelete="CASCADE")
    kind: str = Field(primary_key=True)
    text: str
    updated_ms: int = Field(sa_type=BigInteger)


class GroupDemandRow(SQLModel, table=True):
    """What one worker said last of how much it asks of a group."""

    __tablename__ = "group_demand"

    group_id: str = Field(primary_key=True, foreign_key="replica_group.id", ondelete="CASCADE")
    worker_id: str = Field(primary_key=True)
    # GroupDemand.
    demand: bytes = Field(sa_type=LargeBinary)
    updated_ms: int = Field(sa_type=BigInteger)


class LauncherRow(SQLModel, table=True):
    """The active launcher of a pool."""

    __tablename__ = "launcher"

    pool: str = Field(primary_key=True)
    launcher_id: str
    backend: str
    # Until then it is the active one.
    lease_until_ms: int = Field(sa_type=BigInteger)
    # Capacity, as it said last.
    capacity: bytes = Field(default=b"", sa_type=LargeBinary)


class MeasuredThroughputRow(SQLModel, table=True):
    """What one replica of a model was measured to do, on one kind of machine."""

    __tablename__ = "measured_throughput"

    # Digest of the model, its engine, what its replicas may use, and what the machine is.
    key: str = Field(primary_key=True)
    tokens_per_second: float
    measured_ms: int = Field(sa_type=BigInteger)
