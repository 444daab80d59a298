"""Tables and texts for a terminal: pure.

Before: `session`. What others wrote, such as descriptions, cannot steer the terminal.
"""

import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_GAP = 2
# A column is not made narrower than this.
_NARROW = 8


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, and what stands in it for a row."""

    title: str
    read: Callable[[Mapping[str, Any]], object]


def column(title: str, *path: str) -> Column:
    """Return a column that reads a member, or a member of members."""
    return Column(title, lambda row: member(row, *path))


def time_column(title: str, name: str) -> Column:
    """Return a column of times: milliseconds since the epoch."""
    return Column(title, lambda row: format_time(row.get(name)))


def member(document: Any, *path: str) -> Any:  # noqa: ANN401 - JSON has any type
    """Return a member of members of JSON; None where one is missing."""
    for name in path:
        document = document.get(name) if isinstance(document, Mapping) else None
    return document


def format_table(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], width: int | None
) -> str:
    """Return lines with aligned columns, numbers to the right.

    Args:
        columns: The columns.
        rows: What each line is about.
        width: Characters of a line; None: as many as it takes.
    """
    values = [[one.read(row) for one in columns] for row in rows]
    cells = [[format_cell(value) for value in line] for line in values]
    lines = [[one.title for one in columns], *cells]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    if width is not None:
        widths = _fitted(widths, width)
    right = [_is_numeric([line[at] for line in values]) for at in range(len(columns))]
    return "".join(_line(line, widths, right) for line in lines)


def format_pairs(pairs: Mapping[str, object], width: int | None) -> str:
    """Return names with their values, of which nothing is left out; empty ones are.

    Args:
        pairs: Values by name.
        width: Characters of a line; None: as many as it takes.
    """
    shown = {name: format_cell(value) for name, value in pairs.items() if value}
    indent = max(map(len, shown), default=0) + _GAP
    lines = []
    for name, value in shown.items():
        pieces = [value] if width is None else textwrap.wrap(value, max(width - indent, _NARROW))
        lines += [name.ljust(indent) + pieces[0], *(" " * indent + one for one in pieces[1:])]
    return "".join(f"{line}\n" for line in lines)


def format_cell(value: object) -> str:
    """Return a value on one line, without anything that steers a terminal."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    text = value if isinstance(value, str) else json.dumps(value)
    return plain(text.replace("\n", " "))


def plain(text: str) -> str:
    """Return a text of others for a terminal: line ends and tabs stay, control codes are shown."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode()
        for char in text
    )


def format_time(milliseconds: object) -> str:
    """Return a time of the API, UTC."""
    if not isinstance(milliseconds, int | float) or milliseconds < 0:
        return "-"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _is_numeric(values: Sequence[object]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in known
    )


def _fitted(widths: Sequence[int], width: int) -> list[int]:
    """Return widths that fit into a line: the widest give way first."""
    fitted = list(widths)
    over = sum(fitted) + _GAP * (len(fitted) - 1) - width
    while over > 0 and (widest := max(fitted)) > _NARROW:
        at = fitted.index(widest)
        fitted[at] -= 1
        over -= 1
    return fitted


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = []
    for cell, width, is_right in zip(cells, widths, right, strict=True):
        short = cell if len(cell) <= width else cell[: width - 1] + "…"
        parts.append(short.rjust(width) if is_right else short.ljust(width))
    return (" " * _GAP).join(parts).rstrip() + "\n"
