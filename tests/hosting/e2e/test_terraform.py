"""Hosted models that Terraform's provider declares are as declared, after applying."""

import pytest

from tests.e2e.infrastructure.terraform import ModelServing
from tests.e2e.rest import ENDPOINTS, Json, Rest
from tests.hosting.e2e.deployment import FOUNDATION_MODEL

NAME, VERSION = FOUNDATION_MODEL


def entity_of(**fields: object) -> Json:
    return {"entity_name": "main.ml.iris", "entity_version": "1", **fields}


def model_of(**fields: object) -> Json:
    return {"model_name": "main.ml.iris", "model_version": "1", **fields}


@pytest.mark.long
@pytest.mark.parametrize(
    "config",
    [
        {"served_entities": [entity_of(scale_to_zero_enabled=True)]},
        {
            "served_entities": [
                entity_of(
                    name="iris",
                    scale_to_zero_enabled=True,
                    workload_size="Small",
                    environment_vars={"COLOUR": "blue"},
                )
            ]
        },
        # With the provider's default.
        {"served_models": [model_of(scale_to_zero_enabled=True)]},
        {"served_models": [model_of(scale_to_zero_enabled=False)]},
    ],
)
def test_a_hosted_model_is_as_declared(api: Rest, config: Json) -> None:
    declared = {"name": "declared", "config": config}
    made = ModelServing(api, declared)
    assert made.plan(declared) == []


@pytest.mark.long
def test_provisioned_throughput_is_as_declared(api: Rest) -> None:
    entity = {"entity_name": NAME, "entity_version": VERSION, "provisioned_model_units": 50}
    declared: Json = {"name": "declared", "config": {"served_entities": [entity]}}
    made = ModelServing(api, declared, create=f"{ENDPOINTS}/pt")
    assert made.plan(declared) == []
