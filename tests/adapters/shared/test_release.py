import tomllib
from pathlib import Path

from modelplane.adapters.shared.release import VERSION

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


def test_the_version_is_the_one_that_is_built() -> None:
    assert tomllib.loads(PYPROJECT.read_text())["project"]["version"] == VERSION
