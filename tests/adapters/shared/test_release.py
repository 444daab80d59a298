from pathlib import Path
from runpy import run_path

from modelplane.adapters.shared.release import VERSION

RELEASE = run_path(str(Path(__file__).parents[3] / "protos" / "version.py"))


def test_the_version_is_the_one_that_the_tree_is_on_its_way_to() -> None:
    # What follows tells the commit that was installed.
    assert VERSION.split(".dev")[0] == RELEASE["NEXT"]
