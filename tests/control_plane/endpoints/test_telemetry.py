"""Where telemetry goes is stored, pushed, and whose: one endpoint's, and for rows of one kind."""

import pytest
from modelserving.v1.telemetry_pb2 import TelemetryConfig, UnityCatalogTableNames

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.setting_changes import SettingChanges
from modelplane.control_plane.errors import Conflict, InvalidParameter
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import payload_tables
from modelplane.control_plane.store.endpoints.records import load_endpoints
from modelplane.control_plane.store.states import Phase
from tests.control_plane.configs import config_input, openai_entity
from tests.control_plane.conftest import ALICE, FakeClock
from tests.control_plane.endpoints.test_lifecycle import KEY, with_model
from tests.control_plane.rollouts import FakeRollout

NOTHING = TelemetryConfig()


def spans(table: str) -> TelemetryConfig:
    return TelemetryConfig(table_names=UnityCatalogTableNames(traces_table=table))


def logs(table: str) -> TelemetryConfig:
    return TelemetryConfig(
        enabled_telemetry_features=["TELEMETRY_FEATURE_LOGS"],
        table_names=UnityCatalogTableNames(logs_table=table),
    )


@pytest.fixture
def settings(
    database: Database, sealer: Sealer, rollout: FakeRollout, clock: FakeClock
) -> SettingChanges:
    return SettingChanges(database, sealer, rollout, tables=True, clock=clock)


@pytest.fixture(autouse=True)
async def chat(endpoints: Endpoints) -> None:
    await endpoints.create(ALICE, with_model())


async def stored(database: Database) -> dict[str, TelemetryConfig]:
    async with database.read() as session:
        found = await load_endpoints(session, None)
    return {one.name: one.settings.telemetry_config for one in found}


async def test_it_is_stored_pushed_and_told_as_a_change(
    settings: SettingChanges, database: Database, rollout: FakeRollout, clock: FakeClock
) -> None:
    pushed = len(rollout.applied)
    clock.now_ms += 5_000
    record = await settings.patch_telemetry(ALICE, "chat", spans("a.b.c"))
    assert record.updated_ms == clock.now_ms
    assert (await stored(database))["chat"] == spans("a.b.c")
    assert len(rollout.applied) == pushed + 1
    record = await settings.patch_telemetry(ALICE, "chat", NOTHING)
    assert not record.settings.HasField("telemetry_config")


async def test_a_table_has_one_endpoint_and_rows_of_one_kind(
    settings: SettingChanges, endpoints: Endpoints
) -> None:
    await endpoints.create(ALICE, with_model("other"))
    await settings.patch_telemetry(ALICE, "chat", spans("a.b.c"))
    for given in (spans("A.b.C"), logs("a.b.c")):
        with pytest.raises(InvalidParameter, match="belongs to another endpoint"):
            await settings.patch_telemetry(ALICE, "other", given)
    await settings.patch_telemetry(ALICE, "chat", NOTHING)
    # It has its rows, whether something is written to it or not.
    with pytest.raises(InvalidParameter, match="has rows of another kind"):
        await settings.patch_telemetry(ALICE, "chat", logs("a.b.c"))
    await settings.patch_telemetry(ALICE, "chat", spans("a.b.c"))
    # Whoever made what is gone goes on with its table, with rows of that kind.
    await endpoints.delete(ALICE, "chat")
    with pytest.raises(InvalidParameter, match="has rows of another kind"):
        await settings.patch_telemetry(ALICE, "other", logs("a.b.c"))
    await settings.patch_telemetry(ALICE, "other", spans("a.b.c"))


async def test_an_endpoint_claims_no_tables_without_end(
    settings: SettingChanges, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload_tables, "MOST_OF_ONE", 2)
    for name in ("a.b.c", "a.b.d", "a.b.c"):
        await settings.patch_telemetry(ALICE, "chat", spans(name))
    with pytest.raises(InvalidParameter, match="'chat' has had 2 tables"):
        await settings.patch_telemetry(ALICE, "chat", spans("a.b.e"))
    await settings.patch_telemetry(ALICE, "chat", spans("a.b.d"))


async def test_it_does_not_change_during_an_update(
    settings: SettingChanges, endpoints: Endpoints, rollout: FakeRollout
) -> None:
    rollout.stop_at = Phase.PREPARING
    await endpoints.update_config(ALICE, "chat", config_input(openai_entity(**KEY)))
    with pytest.raises(Conflict, match="update"):
        await settings.patch_telemetry(ALICE, "chat", spans("a.b.c"))
