"""Writes queries of the usage ledger to a Parquet file, with the types of the mirrored table.

Before: `__main__`. Needs `pyarrow`, which the extra `modelplane[parquet]` brings.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from modelplane.deploy.command.api.failures import CommandFailed, Status

try:
    import pyarrow as pa
    from pyarrow import parquet as pq
except ImportError:
    raise CommandFailed(
        "Parquet needs pyarrow: pip install 'modelplane[parquet]'", Status.USAGE
    ) from None

_TEXT_MAP = pa.map_(pa.string(), pa.string())
_ATTEMPT = pa.struct(
    [
        ("served_entity_name", pa.string()),
        ("error", pa.string()),
        ("latency_ms", pa.float64()),
    ]
)
SCHEMA = pa.schema(
    [
        ("account_id", pa.string()),
        ("workspace_id", pa.string()),
        ("client_request_id", pa.string()),
        ("databricks_request_id", pa.string()),
        ("requester", pa.string()),
        ("status_code", pa.int32()),
        ("request_time", pa.timestamp("ms", tz="UTC")),
        ("input_token_count", pa.int64()),
        ("output_token_count", pa.int64()),
        ("input_character_count", pa.int64()),
        ("output_character_count", pa.int64()),
        ("usage_context", _TEXT_MAP),
        ("request_streaming", pa.bool_()),
        ("served_entity_id", pa.string()),
        ("entry_id", pa.string()),
        ("state", pa.string()),
        ("error", pa.string()),
        ("endpoint_id", pa.string()),
        ("endpoint_name", pa.string()),
        ("endpoint_config_version", pa.int32()),
        ("endpoint_tags", _TEXT_MAP),
        ("served_entity_name", pa.string()),
        ("task", pa.string()),
        ("requester_id", pa.string()),
        ("client", pa.string()),
        ("cached_token_count", pa.int64()),
        ("reasoning_token_count", pa.int64()),
        ("token_counts_estimated", pa.bool_()),
        ("latency_ms", pa.float64()),
        ("first_chunk_ms", pa.float64()),
        ("attempts", pa.list_(_ATTEMPT)),
        ("guardrail_action", pa.string()),
        ("guardrail_policy", pa.string()),
        ("guardrail_phase", pa.string()),
        ("guardrail_entities", pa.map_(pa.string(), pa.int64())),
        ("guardrail_logged", pa.map_(pa.string(), pa.string())),
        ("guardrail_us", pa.int64()),
        ("guardrail_unread_parts", pa.int64()),
        ("provider", pa.string()),
        ("model", pa.string()),
        # All that a cost can have: nine digits of a price, and a token of a millionth of it.
        ("cost", pa.decimal128(38, 15)),
        ("currency", pa.string()),
    ]
)
_MAPS = ("usage_context", "endpoint_tags", "guardrail_entities", "guardrail_logged")


def export(pages: Iterable[Sequence[Mapping[str, Any]]], file: Path) -> int:
    """Write pages of rows, and return how many rows; the file appears when it is whole.

    Raises:
        OSError: The file cannot be written.
        CommandFailed: A page cannot be read.
    """
    temporary = file.with_name(file.name + ".new")
    count = 0
    try:
        with pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
            for rows in pages:
                values = [
                    {
                        **row,
                        **{name: list(row[name].items()) for name in _MAPS},
                        "cost": None if row["cost"] is None else Decimal(row["cost"]),
                    }
                    for row in rows
                ]
                writer.write_table(pa.Table.from_pylist(values, schema=SCHEMA))
                count += len(rows)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    return count
