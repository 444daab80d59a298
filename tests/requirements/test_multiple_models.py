"""The examples of "Serve multiple models to a model serving endpoint"."""

from typing import Any

import pytest
import requests

from tests.e2e.rest import CHAT, ENDPOINTS, Rest, entity, split
from tests.emulators.anthropic import AnthropicEmulator
from tests.emulators.openai import OpenAiEmulator
from tests.requirements.documents import assert_contains, printed, redirected

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def mixed_config(provider: OpenAiEmulator) -> Any:
    return redirected(
        {
            "served_entities": [
                {
                    "name": "served_model_name_1",
                    "external_model": {
                        "name": "gpt-4",
                        "provider": "openai",
                        "task": "llm/v1/chat",
                        "openai_config": {
                            "openai_api_key": "{{secrets/my_openai_secret_scope/openai_api_key}}"
                        },
                    },
                },
                {
                    "name": "served_model_name_2",
                    "external_model": {
                        "name": "claude-3-opus-20240229",
                        "provider": "anthropic",
                        "task": "llm/v1/chat",
                        "anthropic_config": {
                            "anthropic_api_key": (
                                "{{secrets/my_anthropic_secret_scope/anthropic_api_key}}"
                            )
                        },
                    },
                },
            ],
            "traffic_config": {
                "routes": [
                    {"served_model_name": "served_model_name_1", "traffic_percentage": 50},
                    {"served_model_name": "served_model_name_2", "traffic_percentage": 50},
                ]
            },
        },
        provider,
    )


def test_external_models_of_two_providers(
    client: Any, rest: Rest, provider: OpenAiEmulator, anthropic_provider: AnthropicEmulator
) -> None:
    config = mixed_config(provider)
    endpoint = client.create_endpoint(name="mix-chat-endpoint", config=config)
    assert endpoint.state["ready"] == "READY"
    assert_contains(endpoint.config["served_entities"], config["served_entities"])
    assert_contains(endpoint.config["traffic_config"], config["traffic_config"])

    def served_by(name: str) -> requests.Response:
        path = f"/serving-endpoints/mix-chat-endpoint/served-models/{name}/invocations"
        return rest.send("POST", path, CHAT)

    for name in ("served_model_name_1", "served_model_name_2"):
        answer = served_by(name)
        assert (answer.status_code, answer.headers["served-model-name"]) == (200, name)
    assert provider.requests[-1].body["model"] == "gpt-4"
    assert anthropic_provider.requests[-1].body["model"] == "claude-3-opus-20240229"
    assert served_by("served_model_name_3").status_code == 404

    # The split is exact over 100 requests of each of the two workers, in an order of its own: 40
    # requests to one side only would take a shuffle of a chance below 1 in a million.
    answers = [rest.query("mix-chat-endpoint", CHAT) for _ in range(40)]
    assert {answer.headers["served-model-name"] for answer in answers} == {
        "served_model_name_1",
        "served_model_name_2",
    }


def test_query_of_one_served_model_ignores_the_split(rest: Rest, provider: OpenAiEmulator) -> None:
    """The document's `multi-model` with external models: the challenger has no traffic at all."""
    current, challenger = entity(provider, "current"), entity(provider, "challenger", "gpt-4o")
    config = {
        "served_entities": [current, challenger],
        "traffic_config": split(current=100, challenger=0),
    }
    rest.create({"name": "multi-model", "config": config})
    for _ in range(5):
        answer = rest.query("multi-model", CHAT)
        assert answer.headers["served-model-name"] == "current"
        path = "/serving-endpoints/multi-model/served-models/challenger/invocations"
        named = rest.send("POST", path, CHAT)
        assert named.headers["served-model-name"] == "challenger"
        assert named.json()["choices"][0]["message"]["content"] == "gpt-4o heard: hello there"


def test_the_documented_change_of_the_split(rest: Rest, provider: OpenAiEmulator) -> None:
    """The document's update, its percentages printed as text, with external models."""
    served = [entity(provider, "current"), entity(provider, "challenger", "gpt-4o")]
    routes = printed("multi_model")["config"]["traffic_config"]
    rest.create(
        {"name": "multi-model", "config": {"served_entities": served, "traffic_config": routes}}
    )
    changed = {
        "served_entities": served,
        "traffic_config": {
            "routes": [
                {"served_model_name": "current", "traffic_percentage": "50"},
                {"served_model_name": "challenger", "traffic_percentage": "50"},
            ]
        },
    }
    response = rest.call("PUT", f"{ENDPOINTS}/multi-model/config", changed)
    shares = [
        route["traffic_percentage"] for route in response["config"]["traffic_config"]["routes"]
    ]
    assert shares == [50, 50]


def test_hosted_models_are_refused_without_a_registry(rest: Rest) -> None:
    answer = rest.send("POST", ENDPOINTS, printed("multi_model"))
    assert answer.status_code == 501
    assert answer.json()["error_code"] == "NOT_IMPLEMENTED"
