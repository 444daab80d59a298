"""What `make release` builds, installed as a tool on a machine that has nothing of it."""

from pathlib import Path

import pytest

from tests.install.check_release import BIN, check_wheel, run
from tests.install.locks import ROOT


@pytest.mark.long
def test_the_wheel_as_a_tool_serves_the_local_model(tmp_path: Path) -> None:
    run(BIN / "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist", cwd=ROOT)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    check_wheel(wheel, tmp_path)
