"""Counts what the detectors of personal data find where there is none, or nobody's.

The texts are this repository's own, without its tests, which hold personal data on purpose, and
lines that are made by chance. What is found in the repository is told, for people to judge.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bench.report import Table
from modelplane.data_plane.guardrails.pii import ENTITIES, build_detectors
from modelplane.data_plane.guardrails.rule import Rule
from modelplane.data_plane.guardrails.scanner import find_all
from tests.data_plane.guardrails.harmless import KINDS, lines_of

_ROOT = Path(__file__).parents[1]
# Whose texts are the project's own, and not built, installed or downloaded.
_FOLDERS = (
    "adapters",
    "bench",
    "control_plane",
    "data_plane",
    "deploy",
    "docs",
    "launcher",
    "protos/modelserving",
    "src",
)
_SUFFIXES = {
    "source code": (".py", ".lua", ".proto", ".sh", ".ts"),
    "configuration": (".json", ".toml", ".yaml", ".yml", ".lock", ".txt", ".in", ".cfg"),
    "documentation": (".md",),
}
_DETECTORS = tuple(build_detectors(Rule("pii")))
_COLUMNS = ("texts", "characters", *sorted(ENTITIES))


def measure() -> list[Table]:
    """Return how many of each kind are found, and what they are in the repository."""
    rows: list[tuple[str | float, ...]] = []
    found: list[tuple[str, str, str]] = []
    for kind, suffixes in _SUFFIXES.items():
        size, counted = 0, Counter[str]()
        for file in _files(suffixes):
            text = file.read_text(errors="replace")
            size += len(text)
            for span in find_all(_DETECTORS, text):
                counted[span.entity] += 1
                place = f"{file.relative_to(_ROOT)}:{text.count(chr(10), 0, span.start) + 1}"
                found.append((place, span.entity, text[span.start : span.end]))
        rows.append(_row(f"{kind} of this repository", size, counted))
    for kind in KINDS:
        text = "\n".join(lines_of(kind))
        counted = Counter(span.entity for span in find_all(_DETECTORS, text))
        rows.append(_row(f"{kind}, made by chance", len(text), counted))
    return [
        Table("Personal data found where there should be none", _COLUMNS, rows),
        Table("What was found in this repository", ("place", "entity", "text"), found),
    ]


def _row(kind: str, size: int, counted: Counter[str]) -> tuple[str | float, ...]:
    return (kind, size, *(counted[entity] for entity in sorted(ENTITIES)))


def _files(suffixes: tuple[str, ...]) -> Iterator[Path]:
    for folder in (*_FOLDERS, "."):
        paths = (_ROOT / folder).rglob("*") if folder != "." else _ROOT.iterdir()
        for path in sorted(paths):
            if path.suffix in suffixes and path.is_file() and "node_modules" not in path.parts:
                yield path
