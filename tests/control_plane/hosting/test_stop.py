"""Endpoints of hosted models that are stopped, and started again."""

import pytest
from modelserving.v1.endpoint_service_pb2 import CreateServingEndpointRequest

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.setting_changes import SettingChanges
from modelplane.control_plane.errors import Conflict, InvalidParameter, NotFound
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.snapshots.builder import ResourceBuilder
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.hosting import groups
from modelplane.control_plane.store.states import EventKind, GroupPhase
from tests.control_plane.configs import config_input, openai_entity
from tests.control_plane.conftest import ALICE
from tests.control_plane.hosting.test_lifecycle import BOB, request, serving, states, view
from tests.control_plane.hosting.worlds import HOSTED, FakeLauncher
from tests.control_plane.rollouts import FakeRollout

ONE = {**HOSTED, "name": "one"}
STOPPED = {"one": ("DEPLOYMENT_STOPPED", "Stopped; start the endpoint with config:start.")}


async def test_a_stopped_endpoint_keeps_its_configuration_and_no_process(
    hosting: Endpoints,
    settings: SettingChanges,
    launcher: FakeLauncher,
    rollout: FakeRollout,
    database: Database,
    sealer: Sealer,
) -> None:
    record = await serving(hosting, launcher, rollout, ONE)
    await settings.stop(ALICE, "e")
    assert await launcher.groups() == {}
    stopped = view(await hosting.get(ALICE, "e"))
    assert (stopped.state.ready, stopped.state.config_update) == ("NOT_READY", "NOT_UPDATING")
    assert stopped.config.config_version == 1
    assert states(stopped.config) == STOPPED
    async with database.read() as session:
        builder = ResourceBuilder(CredentialResolver(sealer))
        pushed = (await builder.load(session, EventKind.ENDPOINT, [record.id]))[record.id]
    assert str(pushed).count("stopped: true") == 1
    assert not pushed.HasField("active")  # type: ignore[arg-type]
    # Callers are answered once the workers know.
    assert rollout.applied
    with pytest.raises(Conflict, match="is stopped already"):
        await settings.stop(ALICE, "e")


async def test_a_start_is_a_new_version_with_the_same_settings(
    hosting: Endpoints, settings: SettingChanges, launcher: FakeLauncher, rollout: FakeRollout
) -> None:
    record = await serving(hosting, launcher, rollout, ONE)
    await settings.stop(ALICE, "e")
    starting = view(await hosting.start(ALICE, "e"))
    assert (starting.state.ready, starting.state.config_update) == ("NOT_READY", "IN_PROGRESS")
    assert starting.pending_config.config_version == 2
    assert states(starting.config) == STOPPED
    assert states(starting.pending_config)["one"][0] == "DEPLOYMENT_CREATING"
    with pytest.raises(Conflict, match="currently being updated"):
        await settings.stop(ALICE, "e")
    await launcher.say(GroupPhase.READY)
    await rollout.wait_settled(record.id)
    started = view(await hosting.get(ALICE, "e"))
    assert (started.state.ready, started.config.config_version) == ("READY", 2)
    assert states(started.config) == {"one": ("DEPLOYMENT_READY", "")}
    with pytest.raises(Conflict, match="is not stopped"):
        await hosting.start(ALICE, "e")


async def test_a_start_that_fails_or_is_canceled_leaves_it_stopped(
    hosting: Endpoints, settings: SettingChanges, launcher: FakeLauncher, rollout: FakeRollout
) -> None:
    record = await serving(hosting, launcher, rollout, ONE)
    await settings.stop(ALICE, "e")
    await hosting.start(ALICE, "e")
    canceled = view(await hosting.cancel_update(ALICE, "e"))
    assert (canceled.state.ready, canceled.state.config_update) == ("NOT_READY", "UPDATE_CANCELED")
    assert states(canceled.config) == STOPPED
    assert await launcher.groups() == {}
    await hosting.start(ALICE, "e")
    await launcher.say(GroupPhase.FAILED, message="No module named 'x'.")
    rollout.refusal = "Served entity 'one': No module named 'x'."
    await rollout.wait_settled(record.id)
    failed = view(await hosting.get(ALICE, "e"))
    assert (failed.state.ready, failed.state.config_update) == ("NOT_READY", "UPDATE_FAILED")
    assert states(failed.config) == STOPPED
    assert states(failed.pending_config) == {"one": ("DEPLOYMENT_FAILED", "No module named 'x'.")}
    assert [group.desired for group in (await launcher.groups()).values()] == [0]


async def test_an_update_starts_it_too(
    hosting: Endpoints, settings: SettingChanges, launcher: FakeLauncher, rollout: FakeRollout
) -> None:
    record = await serving(hosting, launcher, rollout, ONE)
    await settings.stop(ALICE, "e")
    await hosting.update_config(ALICE, "e", config_input({**ONE, "entity_version": "2"}))
    await launcher.say(GroupPhase.READY, version="2")
    await rollout.wait_settled(record.id)
    updated = view(await hosting.get(ALICE, "e"))
    assert updated.state.ready == "READY"
    assert states(updated.config) == {"one": ("DEPLOYMENT_READY", "")}


async def test_the_memory_of_what_is_stopped_is_free(
    hosting: Endpoints,
    settings: SettingChanges,
    launcher: FakeLauncher,
    rollout: FakeRollout,
    database: Database,
) -> None:
    await serving(hosting, launcher, rollout, ONE)
    await settings.stop(ALICE, "e")
    async with database.read() as session:
        assert await groups.load(session, None) == []


async def test_what_cannot_be_stopped_says_why(
    hosting: Endpoints, settings: SettingChanges, launcher: FakeLauncher
) -> None:
    del launcher
    config = config_input(openai_entity("chat", openai_api_key_plaintext="sk"))
    await hosting.create(ALICE, CreateServingEndpointRequest(name="outside", config=config))
    with pytest.raises(InvalidParameter, match="no processes to stop"):
        await settings.stop(ALICE, "outside")
    await hosting.create(ALICE, request())
    with pytest.raises(Conflict, match="currently being updated"):
        await settings.stop(ALICE, "e")
    await hosting.cancel_update(ALICE, "e")
    with pytest.raises(InvalidParameter, match="serves nothing"):
        await settings.stop(ALICE, "e")
    for use_case in (settings.stop(BOB, "e"), hosting.start(BOB, "e")):
        with pytest.raises(NotFound):
            await use_case
