"""Reads what payload journals have left on a disk."""

import zlib
from pathlib import Path

from modelplane.data_plane.payloads.row import PayloadRow, read_rows


def rows_below(root: Path) -> list[PayloadRow]:
    """Return the rows in all files below a directory, whatever became of their processes."""
    files = sorted(path for path in root.rglob("0*.*") if path.suffix != ".tmp")
    return [row for path in files for row in rows_in(path)]


def names_in(directory: Path) -> list[str]:
    """Return the names of what is in a directory; of one that is not there, none."""
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def rows_in(path: Path) -> list[PayloadRow]:
    data = path.read_bytes()
    return list(read_rows(zlib.decompress(data) if data[:1] == b"\x78" else data))
