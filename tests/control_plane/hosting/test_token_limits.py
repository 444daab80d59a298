"""Limits on tokens of hosted models, which are refused where nothing is counted."""

import pytest
from google.protobuf import json_format
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.setting_changes import SettingChanges
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.store.states import GroupPhase
from tests.control_plane.configs import config_input
from tests.control_plane.conftest import ALICE
from tests.control_plane.hosting.test_lifecycle import request, serving
from tests.control_plane.hosting.worlds import HOSTED, FakeLauncher, FakeRegistry, mlmodel
from tests.control_plane.rollouts import FakeRollout

TOKENS = json_format.ParseDict(
    {"rate_limits": [{"key": "endpoint", "tokens": 100, "renewal_period": "minute"}]},
    AiGatewayConfig(),
)
CALLS = json_format.ParseDict(
    {"rate_limits": [{"key": "endpoint", "calls": 100, "renewal_period": "minute"}]},
    AiGatewayConfig(),
)
REFUSED = "have no task and so report none; limit calls"


async def test_models_without_a_task_take_limits_on_calls_alone(
    hosting: Endpoints, settings: SettingChanges, launcher: FakeLauncher, rollout: FakeRollout
) -> None:
    limited = request()
    limited.ai_gateway.CopyFrom(TOKENS)
    with pytest.raises(InvalidParameter, match=REFUSED):
        await hosting.create(ALICE, limited)
    await serving(hosting, launcher, rollout, {**HOSTED, "name": "one"})
    with pytest.raises(InvalidParameter, match=REFUSED):
        await settings.put_ai_gateway(ALICE, "e", TOKENS)
    assert await settings.put_ai_gateway(ALICE, "e", CALLS) == CALLS


async def test_a_model_with_a_task_is_counted_and_not_replaced_by_one_without(
    hosting: Endpoints, registry: FakeRegistry, launcher: FakeLauncher, rollout: FakeRollout
) -> None:
    registry.models["catalog.schema.model-A", "1"] = mlmodel(metadata={"task": "agent/v1/chat"})
    limited = request({**HOSTED, "name": "one"}, one=100)
    limited.ai_gateway.CopyFrom(TOKENS)
    record = await hosting.create(ALICE, limited)
    await launcher.say(GroupPhase.READY)
    await rollout.wait_settled(record.id)
    change = config_input({**HOSTED, "name": "one", "entity_version": "2"})
    with pytest.raises(InvalidParameter, match=REFUSED):
        await hosting.update_config(ALICE, "e", change)
