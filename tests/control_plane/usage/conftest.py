import pytest

from modelplane.control_plane.store.database import Database
from modelplane.control_plane.usage.intake import UsageIntake
from modelplane.control_plane.usage.reader import UsageReader
from tests.control_plane.conftest import FakeClock


@pytest.fixture
def intake(database: Database, clock: FakeClock) -> UsageIntake:
    return UsageIntake(database, clock, retention_days=90, lost_seconds=600, steady=clock)


@pytest.fixture
def usage(database: Database) -> UsageReader:
    return UsageReader(database)
