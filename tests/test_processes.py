"""What `tests/processes.py` gives to one process."""

from pathlib import Path

import pytest

from tests.processes import TOGETHER, scope_of

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("folders", TOGETHER, ids=lambda folders: folders[0])
def test_one_process_gets_all_that_shares_a_deployment(folders: tuple[str, ...]) -> None:
    files = {folder: sorted((ROOT / folder).rglob("test_*.py")) for folder in folders}
    assert all(files.values())
    ids = [f"{file.relative_to(ROOT)}::test" for found in files.values() for file in found]
    assert {scope_of(one) for one in ids} == {folders[0]}


def test_any_other_file_is_given_alone() -> None:
    assert scope_of("tests/docs/test_links.py::test_one[a]") == "tests/docs/test_links.py"
