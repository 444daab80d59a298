"""Rows of the usage ledger as a table to look at: pure.

Before: `__main__`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from modelplane.deploy.command.api import tables
from modelplane.deploy.command.api.tables import Column

_TIMES = {
    "request_time": "%Y-%m-%d %H:%M:%S",
    "day": "%Y-%m-%d",
    "hour": "%Y-%m-%d %H:%M",
    "minute": "%Y-%m-%d %H:%M",
}
# Of queries, what fits on a screen; JSON and CSV have all.
_QUERY_COLUMNS = {
    "TIME": "request_time",
    "ENDPOINT": "endpoint_name",
    "MODEL": "served_entity_name",
    "REQUESTER": "requester",
    "STATUS": "status_code",
    "IN": "input_token_count",
    "OUT": "output_token_count",
    "MS": "latency_ms",
}
# Of totals likewise; those in the second set are left out where all are 0.
_TOTALS = {
    "requests": "REQUESTS",
    "failed_requests": "FAILED",
    "unknown_requests": "UNKNOWN",
    "input_token_count": "IN",
    "output_token_count": "OUT",
    "average_latency_ms": "MS",
    "p50_latency_ms": "P50 MS",
    "p95_latency_ms": "P95 MS",
    "unpriced_requests": "UNPRICED",
}
_RARE = {"unknown_requests", "errors", "cost", "currency"}
_NOT_SHOWN = {
    "cached_token_count",
    "reasoning_token_count",
    "input_character_count",
    "output_character_count",
}


def format_table(rows: Sequence[Mapping[str, Any]], width: int | None) -> str:
    """Return lines with aligned columns, numbers to the right.

    Args:
        rows: Queries, or totals.
        width: Characters of a line; None: as many as it takes.
    """
    if not rows:
        return "no usage\n"
    names = dict(_QUERY_COLUMNS) if "entry_id" in rows[0] else _totals(rows)
    columns = [Column(title, partial(_value, name)) for title, name in names.items()]
    return tables.format_table(columns, rows, width)


def _totals(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the names of what totals hold, by their titles: what they are grouped by first."""
    empty = {name for name in _RARE if not any(row.get(name) for row in rows)}
    # Without prices, that nothing has one says nothing.
    if "cost" in empty or not any(row.get("unpriced_requests") for row in rows):
        empty.add("unpriced_requests")
    shown = [name for name in rows[0] if name not in _NOT_SHOWN | empty]
    return {_TOTALS.get(name, name.replace("_", " ").upper()): name for name in shown}


def _value(name: str, row: Mapping[str, Any]) -> object:
    value = row[name]
    if value is not None and name in _TIMES:
        return datetime.fromtimestamp(value / 1000, UTC).strftime(_TIMES[name])
    return value
