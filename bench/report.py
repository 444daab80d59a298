"""The outcome of a benchmark: tables for people, and the same as JSON for programs."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement; a list of them makes a table."""

    measurement: str
    value: float
    unit: str
    goal: str = ""


@dataclass(frozen=True)
class Table:
    """Measurements of one section: the first column says of what."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float]]


def table_of(title: str, rows: Sequence[Row]) -> Table:
    """Return a table with one measurement a line."""
    columns = ("measurement", "value", "unit", "goal")
    return Table(title, columns, [(row.measurement, row.value, row.unit, row.goal) for row in rows])


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value that `share` of the sorted values do not exceed; NaN for none."""
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def print_table(table: Table) -> None:
    """Print a table."""
    lines = [list(table.columns), *([_text(cell) for cell in row] for row in table.rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(table.columns))]
    print(f"\n{table.title}")
    for number, line in enumerate(lines):
        first, *others = zip(line, widths, strict=True)
        print("  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]))
        if number == 0:
            print("  ".join("-" * width for width in widths))


def save(tables: Sequence[Table]) -> Path:
    """Write all tables as JSON and return the file."""
    _RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = _RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    content = {
        "time": now.isoformat(timespec="seconds"),
        "system": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "commit": _commit(),
        "sections": {
            table.title: [dict(zip(table.columns, row, strict=True)) for row in table.rows]
            for table in tables
        },
    }
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


def _processor() -> str:
    """Return the name of the processor; empty where the system does not tell."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "")


def _commit() -> str:
    """Return the commit, with `-dirty` where files differ from it; empty outside a checkout."""
    describe = ("git", "-C", str(_RESULTS.parent), "describe", "--always", "--dirty", "--abbrev=12")
    told = subprocess.run(describe, check=False, capture_output=True, text=True)
    return told.stdout.strip()


def _text(cell: str | float) -> str:
    if isinstance(cell, str):
        return cell
    return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:,.2f}"
