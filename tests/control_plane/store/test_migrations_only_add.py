"""Old control planes go on beside new ones: migrations take nothing away (decision 41)."""

import ast
import re
from pathlib import Path

import pytest

from modelplane.control_plane.store import migrate

VERSIONS = Path(migrate.__file__).parent / "migrations" / "versions"
# Of before the decision.
BEFORE = {"0011", "0012", "0013", "0014"}
ADDS = {"add_column", "create_table", "create_index", "get_bind", "execute", "bulk_insert"}
REMOVALS = re.compile(r"\b(DROP|RENAME|ALTER)\b", re.IGNORECASE)
MARK = "REMOVES_UNUSED_SINCE"


def problems(source: str) -> list[str]:
    """Return what in a migration an old control plane would miss, or could not write."""
    if re.search(rf"^{MARK} = ", source, re.MULTILINE):
        return []
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [wrong for call in calls if (wrong := _problem(call, source))]


def _problem(call: ast.Call, source: str) -> str:
    called = call.func
    if not (isinstance(called, ast.Attribute) and ast.unparse(called.value) == "op"):
        return ""
    if called.attr == "add_column" and _is_demanded(ast.unparse(call), source):
        return "a column that old ones do not write"
    removes = called.attr == "execute" and REMOVALS.search(source)
    return f"op.{called.attr}" if removes or called.attr not in ADDS else ""


def _is_demanded(call: str, source: str) -> bool:
    column = source if "sa.Column" not in call else call
    return "nullable=False" in column and "server_default" not in column


@pytest.mark.parametrize("path", sorted(VERSIONS.glob("[0-9]*.py")), ids=lambda path: path.stem)
def test_a_migration_only_adds(path: Path) -> None:
    if path.stem[:4] not in BEFORE:
        assert not problems(path.read_text())


@pytest.mark.parametrize(
    "line",
    [
        'op.drop_column("endpoint", "name")',
        'op.drop_table("endpoint")',
        'op.alter_column("endpoint", "name", new_column_name="title")',
        'op.execute("ALTER TABLE endpoint DROP COLUMN name")',
        'op.add_column("endpoint", sa.Column("new", sa.String(), nullable=False))',
    ],
)
def test_one_that_takes_away_is_noticed(line: str) -> None:
    assert problems(f"def upgrade():\n    {line}\n")
    assert not problems(f'{MARK} = "0.2.0"\n\ndef upgrade():\n    {line}\n')


def test_one_that_adds_may() -> None:
    column = 'sa.Column("new", sa.String(), nullable=False, server_default="")'
    assert not problems(f'def upgrade():\n    op.add_column("endpoint", {column})\n')
    assert problems((VERSIONS / "0013_steady_rollouts.py").read_text())
