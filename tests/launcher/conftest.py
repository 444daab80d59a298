"""What launchers wait for in the tests."""

import pytest

from modelplane.launcher.cluster import host_servicer
from modelplane.launcher.local import launcher, replica


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out pauses that a test would only wait for.

    There are no workers, which need a second to notice an end. Hosts keep their streams until a
    launcher's end cuts them, however long it lets them end by themselves. And what replicas use is
    looked at often.
    """
    monkeypatch.setattr(replica, "_NOTICE_SECONDS", 0.05)
    monkeypatch.setattr(host_servicer, "_STOP_SECONDS", 0.05)
    monkeypatch.setattr(launcher, "_LOOK_SECONDS", 0.1)
