"""What the use cases need around a database."""

import pytest

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.setting_changes import SettingChanges
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.keyring import FixedKeys
from modelplane.control_plane.secrets.scopes import Secrets
from modelplane.control_plane.snapshots import peers, rollout_driver
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import changes, records
from tests.control_plane.rollouts import FakeRollout

ALICE = Principal("alice-id", "alice", admin=True)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no slow machine cut short what a test waits for, nor make another replica a dead one."""
    monkeypatch.setattr(rollout_driver, "ANSWER_SECONDS", 60.0)
    monkeypatch.setattr(peers, "_ALIVE_MS", 60_000)


async def share(database: Database, name: str, grantee: Principal, level: Level) -> None:
    """Give a principal a level on an endpoint beside its creator's."""
    async with database.write() as transaction:
        record = await records.find(transaction.session, name)
        assert record is not None
        grants = {**record.grants, grantee.id: level}
        await changes.set_grants(transaction, record.id, grants)


class FakeClock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now_ms = 1_699_617_587_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(FixedKeys(b"k" * 32))


@pytest.fixture
def rollout(database: Database, clock: FakeClock) -> FakeRollout:
    return FakeRollout(database, clock)


@pytest.fixture
def endpoints(
    database: Database, sealer: Sealer, rollout: FakeRollout, clock: FakeClock
) -> Endpoints:
    return Endpoints(database, sealer, rollout, clock)


@pytest.fixture
def settings(database: Database, sealer: Sealer, rollout: FakeRollout) -> SettingChanges:
    return SettingChanges(database, sealer, rollout)


@pytest.fixture
def secrets(database: Database, sealer: Sealer, rollout: FakeRollout, clock: FakeClock) -> Secrets:
    return Secrets(database, sealer, rollout, clock)
