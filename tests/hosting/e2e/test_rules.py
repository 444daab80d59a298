"""What is refused, and what fails, with words that say what to change; nothing else is harmed."""

from typing import Any

import pytest

from tests.e2e.rest import ENDPOINTS, Rest
from tests.hosting.e2e.deployment import (
    FLOWER,
    deployed,
    hosted,
    messages_of,
    settled,
    states_of,
)

REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no such model": (hosted("a", "main.ml.none"), 404, "main.ml.none"),
    "no such version": (hosted("a", "main.ml.iris", "9"), 404, "9"),
    "no version": (hosted("a", "main.ml.iris", ""), 400, "entity_version"),
    "a size": (hosted("a", "main.ml.iris", workload_size="Huge"), 400, "Small, Medium"),
    "a type": (hosted("a", "main.ml.iris", workload_type="GPU_LARGE"), 400, "CPU"),
    "two sizes": (
        hosted("a", "main.ml.iris", min_provisioned_concurrency=4, max_provisioned_concurrency=8),
        400,
        "workload_size",
    ),
    "no multiple of 4": (
        hosted(
            "a",
            "main.ml.iris",
            workload_size="",
            min_provisioned_concurrency=3,
            max_provisioned_concurrency=8,
        ),
        400,
        "4",
    ),
    "no scale to zero": (
        {"name": "a", "entity_name": "main.ml.iris", "entity_version": "1"},
        400,
        "scale",
    ),
    "too many variables": (
        hosted("a", "main.ml.iris", environment_vars={f"V{i}": "x" for i in range(31)}),
        400,
        "30",
    ),
    "an unknown secret": (
        hosted("a", "main.ml.iris", environment_vars={"KEY": "{{secrets/none/none}}"}),
        400,
        "none",
    ),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_refused_at_once(api: Rest, case: str) -> None:
    entity, status, words = REFUSED[case]
    answer = api.send("POST", ENDPOINTS, {"name": "bad", "config": {"served_entities": [entity]}})
    assert answer.status_code == status, answer.text
    assert words in answer.json()["message"], answer.text
    assert api.send("GET", f"{ENDPOINTS}/bad").status_code == 404


def test_hosted_and_external_models_do_not_mix(api: Rest) -> None:
    external = {
        "name": "b",
        "external_model": {
            "name": "gpt-4",
            "provider": "openai",
            "task": "llm/v1/chat",
            "openai_config": {"openai_api_key_plaintext": "k"},
        },
    }
    body = {"name": "bad", "config": {"served_entities": [hosted("a", "main.ml.iris"), external]}}
    answer = api.send("POST", ENDPOINTS, body)
    assert answer.status_code == 400
    assert "an endpoint for each kind" in answer.json()["message"]


def test_one_failure_ends_its_siblings_and_the_old_version_goes_on(api: Rest) -> None:
    deployed(api, "iris", hosted("prod", "main.ml.iris"))
    served = [hosted("broken", "main.ml.iris", "3"), hosted("stuck", "main.ml.hanging")]
    traffic = {
        "routes": [
            {"served_model_name": "broken", "traffic_percentage": 50},
            {"served_model_name": "stuck", "traffic_percentage": 50},
        ]
    }
    api.call(
        "PUT",
        f"{ENDPOINTS}/iris/config",
        {"served_entities": served, "traffic_config": traffic},
    )
    failed = settled(api, "iris")
    assert failed["state"]["config_update"] == "UPDATE_FAILED"
    assert "broken" in failed["state"]["config_update_message"]
    assert states_of(failed, "pending_config") == {
        "broken": "DEPLOYMENT_FAILED",
        "stuck": "DEPLOYMENT_ABORTED",
    }
    assert "nowhere_to_be_found" in messages_of(failed, "pending_config")["broken"]
    assert states_of(failed) == {"prod": "DEPLOYMENT_READY"}
    assert api.query("iris", FLOWER).json() == {"predictions": [0]}


def test_an_update_can_be_canceled_while_a_model_loads(api: Rest) -> None:
    deployed(api, "iris", hosted("prod", "main.ml.iris"))
    config = {"served_entities": [hosted("prod", "main.ml.hanging")]}
    begun = api.call("PUT", f"{ENDPOINTS}/iris/config", config)
    assert begun["state"]["config_update"] == "IN_PROGRESS"
    api.call("POST", f"{ENDPOINTS}/iris/config:cancel")
    endpoint = settled(api, "iris")
    assert endpoint["state"]["config_update"] == "UPDATE_CANCELED"
    assert api.query("iris", FLOWER).json() == {"predictions": [0]}


def test_a_model_that_takes_too_much_memory_is_ended_and_others_go_on(api: Rest) -> None:
    deployed(api, "leaking", hosted("leaking", "main.ml.leaking"))
    deployed(api, "iris", hosted("prod", "main.ml.iris"))
    answer = api.query("leaking", {"dataframe_records": [{"megabytes": 100_000}]})
    assert answer.status_code in (400, 502, 503), answer.text
    assert api.query("iris", FLOWER).json() == {"predictions": [0]}


def test_a_model_that_prints_without_end_harms_nobody(api: Rest) -> None:
    deployed(api, "loud", hosted("loud", "main.ml.printing"))
    deployed(api, "iris", hosted("prod", "main.ml.iris"))
    assert api.query("loud", {"dataframe_records": [{"x": 1}]}).status_code == 200
    for _ in range(20):
        assert api.query("iris", FLOWER).json() == {"predictions": [0]}
    log = api.call("GET", f"{ENDPOINTS}/loud/served-models/loud/logs")["logs"]
    assert len(log) <= 300_000
