"""The outcome of a benchmark: rows, as a table for people and as JSON for programs."""

import json
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

_RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement."""

    name: str
    value: float
    unit: str
    goal: str = ""


def print_section(title: str, rows: list[Row]) -> None:
    """Print the rows of a section as a table."""
    width = max(len(row.name) for row in rows)
    print(f"\n{title}\n{'-' * len(title)}")
    for row in rows:
        print(f"{row.name:<{width}}  {_number(row.value):>10} {row.unit:<6} {row.goal}".rstrip())


def save(sections: dict[str, list[Row]]) -> Path:
    """Write all rows as JSON and return the file."""
    _RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = _RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    content = {
        "time": now.isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "system": platform.platform(),
        "sections": {title: [asdict(row) for row in rows] for title, rows in sections.items()},
    }
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
