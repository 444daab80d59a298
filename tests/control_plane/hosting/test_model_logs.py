import pytest

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.model_logs import ModelLogs, WantedLog
from modelplane.control_plane.errors import InvalidParameter, NotFound, PermissionDenied
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.hosting.logs import save_logs
from modelplane.control_plane.store.states import GroupPhase, LogKind
from tests.control_plane.configs import config_input
from tests.control_plane.conftest import ALICE, share
from tests.control_plane.endpoints.test_lifecycle import with_model
from tests.control_plane.hosting.test_lifecycle import serving
from tests.control_plane.hosting.worlds import HOSTED, FakeLauncher
from tests.control_plane.rollouts import FakeRollout

BOB = Principal("bob-id", "bob")
ONE: dict[str, object] = {**HOSTED, "name": "one"}


def wanted(entity: str = "one", version: int | None = None) -> WantedLog:
    return WantedLog(ALICE, "e", entity, version)


async def say(database: Database, group_id: str, **logs: str) -> None:
    async with database.write() as transaction:
        told = {(group_id, LogKind[kind]): text for kind, text in logs.items()}
        await save_logs(transaction, told, 1)


async def test_the_logs_of_a_version_are_read(
    hosting: Endpoints, launcher: FakeLauncher, rollout: FakeRollout, database: Database
) -> None:
    record = await serving(hosting, launcher, rollout, ONE)
    logs = ModelLogs(database)
    assert await logs.read(wanted(), LogKind.BUILD) == ""
    assert record.active
    await say(database, record.active.hosted[0].group_id, BUILD="old build", SERVICE="old lines")
    assert await logs.read(wanted(), LogKind.BUILD) == "old build"
    assert await logs.read(wanted(), LogKind.SERVICE) == "old lines"

    # The version that is rolled out comes first, also once it has failed.
    record = await hosting.update_config(ALICE, "e", config_input({**ONE, "entity_version": "2"}))
    assert record.pending
    await say(database, record.pending.hosted[0].group_id, BUILD="new build")
    for _ in ("rolled out", "failed"):
        assert await logs.read(wanted(), LogKind.BUILD) == "new build"
        assert await logs.read(wanted(version=1), LogKind.BUILD) == "old build"
        assert await logs.read(wanted(version=2), LogKind.BUILD) == "new build"
        rollout.refusal = "it does not start"
        await rollout.wait_settled(record.id)


async def test_what_has_no_logs(
    hosting: Endpoints, launcher: FakeLauncher, rollout: FakeRollout, database: Database
) -> None:
    record = await serving(hosting, launcher, rollout, ONE)
    logs = ModelLogs(database)
    with pytest.raises(NotFound, match="has no served entity 'two'; its served entities are one"):
        await logs.read(wanted("two"), LogKind.BUILD)
    with pytest.raises(NotFound, match="no configuration version 9"):
        await logs.read(wanted(version=9), LogKind.BUILD)
    await hosting.update_config(ALICE, "e", config_input({**ONE, "entity_version": "2"}))
    await launcher.say(GroupPhase.READY)
    await rollout.wait_settled(record.id)
    with pytest.raises(NotFound, match="are no longer kept"):
        await logs.read(wanted(version=1), LogKind.BUILD)


async def test_a_providers_model_has_no_logs(endpoints: Endpoints, database: Database) -> None:
    await endpoints.create(ALICE, with_model())
    with pytest.raises(InvalidParameter, match="is an external model"):
        await ModelLogs(database).read(WantedLog(ALICE, "chat", "chat", None), LogKind.SERVICE)


async def test_logs_are_for_those_who_manage_the_endpoint(
    hosting: Endpoints, launcher: FakeLauncher, rollout: FakeRollout, database: Database
) -> None:
    await serving(hosting, launcher, rollout, ONE)
    asked = WantedLog(BOB, "e", "one", None)
    with pytest.raises(NotFound):
        await ModelLogs(database).read(asked, LogKind.SERVICE)
    await share(database, "e", BOB, Level.CAN_QUERY)
    with pytest.raises(PermissionDenied, match="needs CAN_MANAGE"):
        await ModelLogs(database).read(asked, LogKind.SERVICE)
