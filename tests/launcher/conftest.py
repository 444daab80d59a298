"""What launchers wait for in the tests."""

import pytest

from modelplane.launcher.local import launcher, replica


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give workers that are not there no second to notice an end, and look at replicas often."""
    monkeypatch.setattr(replica, "_NOTICE_SECONDS", 0.05)
    monkeypatch.setattr(launcher, "_LOOK_SECONDS", 0.1)
