"""What keeps the push going is begun with it."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.sync import SecretSync
from modelplane.control_plane.server.background import background
from modelplane.control_plane.server.push import start_push
from modelplane.control_plane.server.vault import Vault
from modelplane.control_plane.settings import Settings
from modelplane.control_plane.snapshots import laggards
from modelplane.control_plane.snapshots.watchers import Watcher
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.states import EventKind
from tests.control_plane.conftest import FakeClock


async def test_a_stuck_worker_is_ended_and_counted(
    database: Database, sealer: Sealer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(laggards, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(laggards, "STUCK_MS", 20)
    vault = Vault(database, sealer, {}, SecretSync(database, sealer, {}, clock))
    registry = CollectorRegistry()
    async with background() as loops:
        push = await start_push(Settings(), vault, registry, loops)
        stuck = Watcher("stuck", "test", 0)
        push.watchers.add(stuck)
        async with database.write() as transaction:
            await transaction.revise(EventKind.TOKEN, "nothing")
        async with asyncio.timeout(60):
            await asyncio.wait_for(stuck.wake.wait(), 60)
            while not stuck.dropped:
                await asyncio.sleep(0.01)
    assert not len(push.watchers)
    assert registry.get_sample_value("modelplane_dropped_workers_total") == 1
