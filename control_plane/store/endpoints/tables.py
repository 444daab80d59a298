"""The tables of rollouts and changes. Rows never leave `control_plane.store`.

Beside: `store.tables`. Changes to this file need a migration in `migrations/versions`.
"""

from sqlalchemy import BigInteger, ForeignKeyConstraint, LargeBinary
from sqlmodel import Field, SQLModel


class RolloutRow(SQLModel, table=True):
    """How a version was rolled out; of the last versions of each endpoint."""

    __tablename__ = "rollout"
    __table_args__ = (
        ForeignKeyConstraint(
            ["endpoint_id", "version"],
            ["endpoint_config.endpoint_id", "endpoint_config.version"],
            ondelete="CASCADE",
        ),
    )

    endpoint_id: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    # Revisions that the workers had to acknowledge for it to be prepared, and to be active.
    prepare_revision: int = Field(sa_type=BigInteger)
    activate_revision: int | None = Field(default=None, sa_type=BigInteger)
    prepared_ms: int | None = Field(default=None, sa_type=BigInteger)
    ended_ms: int | None = Field(default=None, sa_type=BigInteger)
    # RolloutEntities, once it has ended.
    entities: bytes = Field(default=b"", sa_type=LargeBinary)


class RolloutWorkersRow(SQLModel, table=True):
    """What the workers of one control-plane replica made of a version."""

    __tablename__ = "rollout_workers"
    __table_args__ = (
        ForeignKeyConstraint(
            ["endpoint_id", "version"],
            ["rollout.endpoint_id", "rollout.version"],
            ondelete="CASCADE",
        ),
    )

    endpoint_id: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    replica_id: str = Field(primary_key=True)
    # RolloutWorkers.
    workers: bytes = Field(sa_type=LargeBinary)


class EndpointChangeRow(SQLModel, table=True):
    """One of the last changes of endpoints that whoever looks at them is told of."""

    __tablename__ = "endpoint_change"

    # Of its own counter: workers are not told of most of these.
    revision: int = Field(primary_key=True, sa_type=BigInteger)
    kind: str
    # Empty: of many endpoints at once.
    endpoint_id: str = ""
    name: str = ""
    # As they were with the change, since the endpoint may be gone.
    grants_json: str = "{}"
    # Version that is rolled out, or that serves.
    config_version: int | None = None
    phase: str = ""
    time_ms: int = Field(sa_type=BigInteger)
