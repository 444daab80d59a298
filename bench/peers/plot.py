"""Draws a table's numbers as bars, in SVG."""

from collections.abc import Sequence
from html import escape

from bench.report import Table

_LABEL_WIDTH = 210
_BAR_WIDTH = 420
_VALUE_WIDTH = 90
_ROW_HEIGHT = 22
_TITLE_HEIGHT = 34
_OWN = "#2563eb"
_OTHERS = "#94a3b8"


def draw(table: Table, columns: Sequence[str], own: str) -> str:
    """Return an SVG picture with one chart for each of some columns.

    Args:
        table: Its first column has the labels.
        columns: Columns to draw; their cells are numbers.
        own: How labels begin whose bars stand out.
    """
    chart_height = _TITLE_HEIGHT + _ROW_HEIGHT * len(table.rows)
    width = _LABEL_WIDTH + _BAR_WIDTH + _VALUE_WIDTH
    height = chart_height * len(columns) + _ROW_HEIGHT
    size = f'width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        f'<rect {size} fill="white"/>',
    ]
    for number, column in enumerate(columns):
        parts += _chart(table, column, own, top=number * chart_height)
    return "\n".join([*parts, "</svg>", ""])


def _chart(table: Table, column: str, own: str, top: int) -> list[str]:
    index = list(table.columns).index(column)
    cells = [(str(row[0]), float(row[index])) for row in table.rows]
    largest = max((value for _, value in cells), default=0) or 1
    parts = [f'<text x="8" y="{top + 22}" font-weight="bold">{escape(column)}</text>']
    for number, (label, value) in enumerate(cells):
        y = top + _TITLE_HEIGHT + number * _ROW_HEIGHT
        length = value / largest * _BAR_WIDTH
        colour = _OWN if label.startswith(own) else _OTHERS
        parts += [
            f'<text x="8" y="{y + 13}">{escape(label)}</text>',
            f'<rect x="{_LABEL_WIDTH}" y="{y}" width="{length:.1f}" height="16" fill="{colour}"/>',
            f'<text x="{_LABEL_WIDTH + length + 6:.1f}" y="{y + 13}">{value:,.4g}</text>',
        ]
    return parts
