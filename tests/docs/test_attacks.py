"""Every attack of the page has its tests, and every test of `tests/hostile` its attack."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    line
    for line in (ROOT / "docs/contributing/attacks.md").read_text().splitlines()
    if "::" in line
]
# Found since the first nineteen.
NEW = 3
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[2].strip())
def test_an_attack_has_tests(row: str) -> None:
    tests = TEST.findall(row)
    assert tests
    for file, name in tests:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), name


def test_none_is_left_out() -> None:
    assert [int(row.split("|")[1]) for row in ROWS] == list(range(1, 20 + NEW))
    named = {name for row in ROWS for _, name in TEST.findall(row)}
    for file in (ROOT / "tests/hostile").glob("test_*.py"):
        own = re.findall(r"^(?:async )?def (test_\w+)\(", file.read_text(), re.MULTILINE)
        assert set(own) <= named
