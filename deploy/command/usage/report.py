"""Rows of the usage ledger as a table to look at: pure.

Before: `__main__`.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

_TIMES = frozenset({"request_time", "day", "hour"})
# Of queries, what fits on a screen; JSON and CSV have all.
_COLUMNS = (
    "request_time",
    "endpoint_name",
    "served_entity_name",
    "requester",
    "state",
    "status_code",
    "input_token_count",
    "output_token_count",
    "latency_ms",
    "databricks_request_id",
)


def format_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return lines with aligned columns, numbers to the right."""
    if not rows:
        return "no usage\n"
    columns = _COLUMNS if "entry_id" in rows[0] else tuple(rows[0])
    lines = [list(columns), *([_text(name, row[name]) for name in columns] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    right = [isinstance(rows[0][name], int | float) and name not in _TIMES for name in columns]
    return "".join(
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        + "\n"
        for line in lines
    )


def _text(name: str, value: Any) -> str:  # noqa: ANN401 - a cell has any type
    if value is None:
        return "-"
    if name in _TIMES:
        return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.1f}"
    return value if isinstance(value, str) else json.dumps(value)
