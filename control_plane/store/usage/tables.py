"""The tables of the usage ledger. Rows never leave `control_plane.store`.

Beside: `tables`. Changes to this file need a migration in `migrations/versions`.
"""

from sqlalchemy import BigInteger, Index, Integer
from sqlmodel import Field, SQLModel

# SQLite counts in this type only.
_COUNTER = BigInteger().with_variant(Integer(), "sqlite")


class UsageRow(SQLModel, table=True):
    """One admitted query. Holds no prompt and no answer.

    Every index costs each query: these are what the queries on the ledger need.
    """

    __tablename__ = "usage_query"
    __table_args__ = (
        Index("usage_query_time", "time_ms"),
        Index("usage_query_endpoint", "endpoint_id", "time_ms"),
        Index("usage_query_origin", "origin_id"),
        # Of those with the state `RUNNING`, which the migration says: here it would load both
        # dialects of SQL, for 50 ms of each start.
        Index("usage_query_running", "id"),
    )

    # Key that the worker made, hexadecimal: request ids are given by clients and may repeat. It
    # begins with the identifier of the journal.
    id: str = Field(primary_key=True)
    # Not declared as a foreign key: to check that would cost each query.
    origin_id: bytes
    endpoint_id: str
    time_ms: int = Field(sa_type=BigInteger)
    state: str
    request_id: str
    client_request_id: str
    usage_context_json: str
    streaming: bool
    input_characters: int = Field(sa_type=BigInteger)
    status_code: int | None = None
    error: str = ""
    input_tokens: int | None = Field(default=None, sa_type=BigInteger)
    output_tokens: int | None = Field(default=None, sa_type=BigInteger)
    cached_tokens: int | None = Field(default=None, sa_type=BigInteger)
    reasoning_tokens: int | None = Field(default=None, sa_type=BigInteger)
    estimated: bool = False
    output_characters: int = Field(default=0, sa_type=BigInteger)
    latency_ms: float | None = None
    first_chunk_ms: float | None = None
    # Of one that succeeded at once only the latency.
    attempts_json: str = "[]"
    # Empty where the endpoint has no guardrails.
    guardrail_action: str = ""
    guardrail_json: str = "{}"


class UsageOriginRow(SQLModel, table=True):
    """What many queries of one day have in common. Rows are never changed."""

    __tablename__ = "usage_origin"

    # Made of all that follows, so that every replica makes the same.
    id: bytes = Field(primary_key=True)
    # Start of the day on which its queries were stored, which tells when it may go with them.
    stored_ms: int = Field(sa_type=BigInteger, index=True)
    endpoint_id: str
    endpoint_name: str = Field(index=True)
    # Of the endpoint when the queries were stored.
    tags_json: str
    config_version: int
    served_entity_id: str
    served_entity_name: str
    task: str
    requester_id: str
    requester: str = Field(index=True)
    # Kind of the program that has sent them; empty where the worker was of an older release.
    client: str = ""
    # Of the served entity; empty where an older control plane has stored it, or where nobody knows.
    provider: str = Field(default="", sa_column_kwargs={"server_default": ""})
    model: str = Field(default="", sa_column_kwargs={"server_default": ""})


class UsageJournalRow(SQLModel, table=True):
    """A worker's journal, from which rows come."""

    __tablename__ = "usage_journal"

    id: str = Field(primary_key=True)
    # Last sign of life.
    seen_ms: int = Field(sa_type=BigInteger, index=True)


class UsagePeriodRow(SQLModel, table=True):
    """An hour or a day that is over, of which there are totals, or may be."""

    __tablename__ = "usage_period"

    length_ms: int = Field(primary_key=True)
    start_ms: int = Field(primary_key=True, sa_type=BigInteger, index=True)
    # Counts the batches with queries of it that came since it has been here: what is summed up is
    # stored only if none came meanwhile.
    changes: int = 0
    # See `states.TotalState`.
    state: str
    # What `changes` was when its margins were made: they hold while it still is that.
    margins_at: int = Field(default=-1, sa_column_kwargs={"server_default": "-1"})
    # The dimensions that it has margins of, each between two commas: see `margins`.
    margins: str = Field(default="", sa_column_kwargs={"server_default": ""})
    # What `changes` was when totals were stored that have latencies; those of an older release do
    # not, and are made again.
    told_at: int = Field(default=-1, sa_column_kwargs={"server_default": "-1"})


class UsageTotalRow(SQLModel, table=True):
    """What the queries of one period used together that are alike in all that can be grouped by."""

    __tablename__ = "usage_total"
    __table_args__ = (
        Index("usage_total_period", "length_ms", "start_ms"),
        Index("usage_total_endpoint", "endpoint_id", "length_ms", "start_ms"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=_COUNTER)
    length_ms: int
    start_ms: int = Field(sa_type=BigInteger)
    origin_id: bytes
    endpoint_id: str
    state: str
    status_code: int | None = None
    guardrail_action: str = ""
    requests: int = Field(sa_type=BigInteger)
    input_tokens: int | None = Field(default=None, sa_type=BigInteger)
    output_tokens: int | None = Field(default=None, sa_type=BigInteger)
    cached_tokens: int | None = Field(default=None, sa_type=BigInteger)
    reasoning_tokens: int | None = Field(default=None, sa_type=BigInteger)
    input_characters: int = Field(sa_type=BigInteger)
    output_characters: int = Field(sa_type=BigInteger)
    latency_ms: float | None = None
    # How many took how long: see `latencies`. NULL where an older control plane has stored it.
    latencies: str | None = None


class UsageMarginRow(SQLModel, table=True):
    """What the queries of one period used together that are alike in one dimension and model."""

    __tablename__ = "usage_margin"
    __table_args__ = (
        Index("usage_margin_period", "length_ms", "start_ms"),
        Index("usage_margin_dimension", "dimension", "length_ms", "start_ms"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=_COUNTER)
    length_ms: int
    start_ms: int = Field(sa_type=BigInteger)
    # See `margins`.
    dimension: str
    # As text, also where it is a number.
    value: str | None = None
    # Those that differ in these are apart, so that they can have prices.
    provider: str = Field(default="", sa_column_kwargs={"server_default": ""})
    model: str = Field(default="", sa_column_kwargs={"server_default": ""})
    requests: int = Field(sa_type=BigInteger)
    failed_requests: int = Field(sa_type=BigInteger)
    errors: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})
    unknown_requests: int = Field(sa_type=BigInteger)
    input_token_count: int | None = Field(default=None, sa_type=BigInteger)
    output_token_count: int | None = Field(default=None, sa_type=BigInteger)
    cached_token_count: int | None = Field(default=None, sa_type=BigInteger)
    reasoning_token_count: int | None = Field(default=None, sa_type=BigInteger)
    input_character_count: int = Field(sa_type=BigInteger)
    output_character_count: int = Field(sa_type=BigInteger)
    latency_ms: float | None = None
    # How many took how long: see `latencies`. NULL where an older control plane has stored it.
    latencies: str | None = None


class UsagePriceRow(SQLModel, table=True):
    """What a model's tokens cost in one time. All rows are replaced together."""

    __tablename__ = "usage_price"
    __table_args__ = (Index("usage_price_model", "provider", "model", "from_ms", unique=True),)

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    provider: str
    model: str
    from_ms: int = Field(sa_type=BigInteger)
    until_ms: int = Field(sa_type=BigInteger)
    # Of a million tokens, in billionths of the currency.
    input: int = Field(sa_type=BigInteger)
    output: int = Field(sa_type=BigInteger)
    # NULL: as of all others.
    cached_input: int | None = Field(default=None, sa_type=BigInteger)
    currency: str
