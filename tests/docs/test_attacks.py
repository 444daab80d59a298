"""Every attack and rule of the page has its tests, and every test of `tests/hostile` its attack."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/contributing/attacks.md").read_text()
# The attacks, and below them the rules.
ROWS, RULES = (
    [line for line in part.splitlines() if "::" in line]
    for part in PAGE.partition("\n## The rules")[::2]
)
# Found since the first nineteen.
NEW = 5
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")


@pytest.mark.parametrize("row", [*ROWS, *RULES], ids=lambda row: row.split("|")[2].strip())
def test_an_attack_or_rule_has_tests(row: str) -> None:
    tests = TEST.findall(row)
    assert tests
    for file, name in tests:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), name


def test_none_is_left_out() -> None:
    assert [int(row.split("|")[1]) for row in ROWS] == list(range(1, 20 + NEW))
    assert [int(row.split("|")[1]) for row in RULES] == list(range(1, 18))
    named = {name for row in ROWS for _, name in TEST.findall(row)}
    for file in (ROOT / "tests/hostile").glob("test_*.py"):
        own = re.findall(r"^(?:async )?def (test_\w+)\(", file.read_text(), re.MULTILINE)
        assert set(own) <= named
