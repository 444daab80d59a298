"""Endpoints whose provider is this very gateway: a call that goes in circles ends, clearly."""

import json

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from modelplane.data_plane.upstreams.hops import MAX_HOPS
from tests.e2e.rest import CHAT, Json, Rest, endpoint, entity
from tests.e2e.system import System
from tests.emulators.openai import OpenAiEmulator

CALLS = MAX_HOPS + 1


def served_by(system: System, provider: str, name: str) -> Json:
    """Return a served entity that is the endpoint `name` of this gateway, as a provider's model."""
    own = f"{system.url}/serving-endpoints"
    configs: Json = {
        "openai": {
            "openai_config": {"openai_api_base": own, "openai_api_key_plaintext": system.token}
        },
        "custom": {
            "custom_provider_config": {
                "custom_provider_url": f"{own}/{name}/invocations",
                "bearer_token_auth": {"token_plaintext": system.token},
            }
        },
        "databricks-model-serving": {
            "databricks_model_serving_config": {
                "databricks_workspace_url": system.url,
                "databricks_api_token_plaintext": system.token,
            }
        },
    }
    model = {"name": name, "provider": provider, "task": "llm/v1/chat", **configs[provider]}
    return {"name": "self", "external_model": model}


def count_calls(system: System, names: list[str]) -> float:
    """Return how many calls the workers have answered for the endpoints."""
    total = 0.0
    for worker in json.loads((system.data_dir / "up.json").read_text())["workers"]:
        page = requests.get(worker["metrics_url"], timeout=10).text
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                if (
                    sample.name == "modelplane_requests_total"
                    and sample.labels["endpoint"] in names
                ):
                    total += sample.value
    return total


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("providers", "names"),
    [
        (["openai"], ["loop"]),
        (["custom"], ["loop"]),
        (["databricks-model-serving"], ["loop"]),
        (["custom", "openai", "databricks-model-serving"], ["one", "two", "three"]),
    ],
    ids=["openai", "custom", "databricks", "ring"],
)
def test_a_call_that_goes_in_circles_is_refused(
    system: System, rest: Rest, providers: list[str], names: list[str], *, stream: bool
) -> None:
    for place, (provider, name) in enumerate(zip(providers, names, strict=True)):
        following = names[(place + 1) % len(names)]
        rest.create(endpoint(name, served_by(system, provider, following)))
    answer = rest.query(names[0], {**CHAT, "stream": stream})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST")
    assert "an endpoint on its way calls itself" in answer.json()["message"]
    assert count_calls(system, names) == CALLS


def test_a_gateway_may_be_the_provider_of_another(
    system: System, rest: Rest, provider: OpenAiEmulator
) -> None:
    """As many in a row as may be: the last one asks the model."""
    names = [f"gateway-{place}" for place in range(MAX_HOPS)]
    entities = [served_by(system, "databricks-model-serving", name) for name in names[1:]]
    for name, served in zip(names, [*entities, entity(provider)], strict=True):
        rest.create(endpoint(name, served))
    answer = rest.query(names[0], CHAT)
    assert answer.json()["choices"][0]["message"]["content"] == "gpt-4 heard: hello there"


def test_a_caller_can_only_have_its_own_call_refused(rest: Rest, provider: OpenAiEmulator) -> None:
    rest.create(endpoint("talk", entity(provider)))
    path = "/serving-endpoints/talk/invocations"
    refused = rest.send("POST", path, CHAT, headers={"X-Modelplane-Hops": str(MAX_HOPS)})
    assert refused.status_code == 400
    assert rest.send("POST", path, CHAT, headers={"X-Modelplane-Hops": "-1"}).status_code == 200
