from typing import Any

import pytest
from modelserving.v1 import deployment_service_pb2 as pb

from modelplane.adapters.shared.release import VERSION
from modelplane.control_plane.deployment.servicer import DeploymentServicer
from modelplane.control_plane.settings import Settings

CONTEXT: Any = None
NOBODY: Any = None


@pytest.mark.parametrize(
    ("setting", "feature"),
    [
        ({"registry": "/models"}, "hosted_models"),
        ({"foundation_models": "default"}, "hosted_models"),
        ({"tables_root": "/tables"}, "payload_tables"),
        ({"safety_judge": "guard:llama_guard"}, "safety_judge"),
        ({"topics_judge": "guard"}, "topics_judge"),
    ],
)
async def test_what_the_operator_has_set_up_is_told(setting: dict[str, str], feature: str) -> None:
    async def told(settings: Settings) -> pb.Deployment:
        servicer = DeploymentServicer(settings, NOBODY)
        return await servicer.GetDeployment(pb.GetDeploymentRequest(), CONTEXT)

    bare = await told(Settings(usage_retention_days=7, audit_retention_days=8))
    assert (bare.version, list(bare.features)) == (VERSION, [])
    assert (bare.usage_retention_days, bare.audit_retention_days) == (7, 8)
    assert (await told(Settings(**setting))).features == [feature]  # type: ignore[arg-type]
