import pytest

from modelplane.control_plane.endpoints import config_history
from modelplane.control_plane.endpoints.config_history import ConfigHistory, compare_configs
from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.views import build_version
from modelplane.control_plane.errors import InvalidParameter, NotFound
from modelplane.control_plane.store.database import Database
from tests.control_plane.configs import config_input, openai_entity, stored_config
from tests.control_plane.conftest import ALICE, FakeClock
from tests.control_plane.endpoints.test_lifecycle import KEY, with_model
from tests.control_plane.rollouts import FakeRollout


@pytest.fixture
async def history(
    database: Database, endpoints: Endpoints, rollout: FakeRollout, clock: FakeClock
) -> ConfigHistory:
    """Give the history of an endpoint with an old, a failed and an active version."""
    await endpoints.create(ALICE, with_model())
    rollout.refusal = "no"
    clock.now_ms += 1
    await endpoints.update_config(ALICE, "chat", config_input(openai_entity("bad", **KEY)))
    rollout.refusal = ""
    changed = config_input(openai_entity(model="gpt-4o", **KEY))
    await endpoints.update_config(ALICE, "chat", changed)
    return ConfigHistory(database)


async def test_all_versions_are_listed_newest_first(
    history: ConfigHistory, clock: FakeClock
) -> None:
    versions = [build_version(version) async for version in history.list_all(ALICE, "chat")]
    assert [
        (version.config_version, version.outcome, version.outcome_message) for version in versions
    ] == [(3, "ACTIVE", ""), (2, "FAILED", "no"), (1, "SUPERSEDED", "")]
    assert [version.creation_timestamp for version in versions] == [
        clock.now_ms,
        clock.now_ms,
        clock.now_ms - 1,
    ]
    states = [version.config.served_entities[0].state.deployment for version in versions]
    assert states == ["DEPLOYMENT_READY", "DEPLOYMENT_FAILED", ""]
    assert {version.creator for version in versions} == {"alice"}


async def test_versions_are_read_a_few_at_a_time_and_after_a_page(
    history: ConfigHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_history, "_AT_A_TIME", 2)
    for token, listed in (("", [3, 2, 1]), ("3", [2, 1]), ("1", [])):
        found = [item.version async for item in history.list_all(ALICE, "chat", token)]
        assert found == listed
    for wrong in ("?", "²", "1" * 30):
        with pytest.raises(InvalidParameter, match="'page_token' must be"):
            await anext(history.list_all(ALICE, "chat", wrong))


async def test_a_version_can_be_read(history: ConfigHistory) -> None:
    version = build_version(await history.get(ALICE, "chat", 2))
    assert version.config.config_version == 2
    assert version.config.served_entities[0].name == "bad"
    assert version.config.served_models[0].name == "bad"


async def test_two_versions_can_be_compared(history: ConfigHistory) -> None:
    (difference,) = await history.compare(ALICE, "chat", 1, 3)
    assert difference.path == "served_entities[chat].external_model.name"
    assert (difference.from_value, difference.to_value) == ('"gpt-4"', '"gpt-4o"')
    assert await history.compare(ALICE, "chat", 3, 3) == []


async def test_what_is_not_there(history: ConfigHistory) -> None:
    with pytest.raises(NotFound, match="no configuration version 9"):
        await history.get(ALICE, "chat", 9)
    with pytest.raises(NotFound, match="no configuration version 9"):
        await history.compare(ALICE, "chat", 1, 9)
    for call in (
        anext(history.list_all(ALICE, "none")),
        history.get(ALICE, "none", 1),
        history.compare(ALICE, "none", 1, 2),
    ):
        with pytest.raises(NotFound, match="'none' does not exist"):
            await call


def test_a_share_of_zero_and_what_exists_on_one_side_only_are_shown() -> None:
    old = stored_config(openai_entity("a"), version=1)
    old.traffic_config.routes.add(served_entity_name="a", served_model_name="a")
    new = stored_config(openai_entity("a"), version=2)
    new.traffic_config.routes.add(
        served_entity_name="a", served_model_name="a", traffic_percentage=100
    )
    new.served_entities[0].external_model.openai_config.openai_organization = "org"
    first, second = compare_configs(old, new)
    assert first.path == "served_entities[a].external_model.openai_config.openai_organization"
    assert not first.HasField("from_value")
    assert first.to_value == '"org"'
    assert second.path == "traffic_config.routes[a].traffic_percentage"
    assert (second.from_value, second.to_value) == ("0", "100")
