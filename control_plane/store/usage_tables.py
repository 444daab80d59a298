"""The tables of the usage ledger. Rows never leave `control_plane.store`.

Beside: `tables`. Changes to this file need a migration in `migrations/versions`.
"""

from enum import StrEnum

from sqlalchemy import BigInteger, Index, text
from sqlmodel import Field, SQLModel


class UsageState(StrEnum):
    """What is known of a query."""

    RUNNING = "RUNNING"
    ENDED = "ENDED"
    # The worker died before it could say how it ended.
    UNKNOWN = "UNKNOWN"


_IS_RUNNING = text("state = 'RUNNING'")


class UsageRow(SQLModel, table=True):
    """One admitted query. Holds no prompt and no answer."""

    __tablename__ = "usage"
    __table_args__ = (
        Index("usage_time", "time_ms", "id"),
        Index("usage_endpoint", "endpoint_id", "time_ms"),
        Index("usage_endpoint_name", "endpoint_name", "time_ms"),
        Index("usage_requester", "requester", "time_ms"),
        Index(
            "usage_running",
            "journal_id",
            sqlite_where=_IS_RUNNING,
            postgresql_where=_IS_RUNNING,
        ),
    )

    # Key that the worker made, hexadecimal: request ids are given by clients and may repeat.
    id: str = Field(primary_key=True)
    journal_id: str
    state: str
    request_id: str
    client_request_id: str
    usage_context_json: str
    time_ms: int = Field(sa_type=BigInteger)
    endpoint_id: str
    endpoint_name: str
    # Of the endpoint when the row was stored.
    tags_json: str
    config_version: int
    served_entity_id: str
    served_entity_name: str
    task: str
    requester_id: str
    requester: str
    streaming: bool
    status_code: int | None = None
    error: str = ""
    input_tokens: int | None = Field(default=None, sa_type=BigInteger)
    output_tokens: int | None = Field(default=None, sa_type=BigInteger)
    cached_tokens: int | None = Field(default=None, sa_type=BigInteger)
    reasoning_tokens: int | None = Field(default=None, sa_type=BigInteger)
    estimated: bool = False
    input_characters: int = Field(default=0, sa_type=BigInteger)
    output_characters: int = Field(default=0, sa_type=BigInteger)
    latency_ms: float | None = None
    first_chunk_ms: float | None = None
    attempts_json: str = "[]"


class UsageJournalRow(SQLModel, table=True):
    """A worker's journal, from which rows come."""

    __tablename__ = "usage_journal"

    id: str = Field(primary_key=True)
    # Last sign of life.
    seen_ms: int = Field(sa_type=BigInteger, index=True)
