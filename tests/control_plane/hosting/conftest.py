import pytest

from modelplane.control_plane.clock import system_clock
from tests.control_plane.conftest import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """A clock that begins with the machine's, which rollouts go by."""
    clock = FakeClock()
    clock.now_ms = system_clock()
    return clock
