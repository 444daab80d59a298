"""The examples of "Create generative AI model serving endpoints"."""

from typing import Any

import pytest

from tests.e2e.rest import CHAT, ENDPOINTS, Json, Rest
from tests.emulators.openai import OpenAiEmulator
from tests.requirements.documents import assert_contains, printed, redirected

# The client warns of its own deprecated styles of calling, which the document uses.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

MY_KEY = "{{secrets/scope/key}}"


def without_what_differs(endpoint: Json) -> None:
    """Assert the form of times, ids and creators, and remove them."""
    for holder in (endpoint, endpoint["config"]["served_entities"][0]):
        assert isinstance(holder.pop("creator"), str)
        created = holder.pop("creation_timestamp")
        assert isinstance(created, int)
        assert created > 1_600_000_000_000
    assert isinstance(endpoint.pop("last_updated_timestamp"), int)
    identifier = endpoint.pop("id")
    assert len(identifier) == 32
    assert set(identifier) <= set("0123456789abcdef")


def test_rest_example_prints_the_documented_response(rest: Rest) -> None:
    response = rest.create(printed("create_endpoint"))
    expected = printed("create_endpoint_response")
    without_what_differs(response)
    without_what_differs(expected)
    assert_contains(response, expected)
    served = response["config"]["served_entities"][0]
    assert served["external_model"] == expected["config"]["served_entities"][0]["external_model"]
    assert response["state"]["config_update"] == "NOT_UPDATING"
    assert rest.call("GET", f"{ENDPOINTS}/openai_endpoint")["tags"] == expected["tags"]
    limits = rest.call("GET", f"{ENDPOINTS}/openai_endpoint/rate-limits")
    assert limits == {"rate_limits": printed("create_endpoint")["rate_limits"]}


def test_rest_example_answers_queries(rest: Rest, provider: OpenAiEmulator) -> None:
    rest.create(redirected(printed("create_endpoint"), provider))
    answer = rest.query("openai_endpoint", {"input": "what is databricks"})
    assert len(answer.json()["data"][0]["embedding"]) == 1536

    update = redirected(printed("update_endpoint"), provider)
    response = rest.call("PUT", f"{ENDPOINTS}/{update['name']}/config", update)
    assert_contains(
        response["config"]["served_entities"], printed("update_endpoint")["served_entities"]
    )
    assert response["config"]["config_version"] == 2
    assert response["task"] == "llm/v1/chat"
    assert rest.query("openai_endpoint", CHAT).status_code == 200


def create(client: Any, provider: OpenAiEmulator) -> Any:
    return client.create_endpoint(
        name="chat",
        config=redirected(
            {
                "served_entities": [
                    {
                        "name": "completions",
                        "external_model": {
                            "name": "gpt-4",
                            "provider": "openai",
                            "task": "llm/v1/chat",
                            "openai_config": {
                                "openai_api_key": "{{secrets/scope/key}}",
                            },
                        },
                    }
                ],
            },
            provider,
        ),
    )


def test_mlflow_example_of_creation(client: Any, provider: OpenAiEmulator) -> None:
    endpoint = create(client, provider)
    assert_contains(
        dict(endpoint),
        {
            "name": "chat",
            "creator": ...,
            "creation_timestamp": ...,
            "last_updated_timestamp": ...,
            "state": ...,
            "config": ...,
            "tags": ...,
            "id": ...,
        },
    )
    assert endpoint.creation_timestamp <= endpoint.last_updated_timestamp
    answer = client.predict(endpoint="chat", inputs=CHAT)
    assert answer.choices[0]["message"]["content"] == "gpt-4 heard: hello there"


def test_mlflow_example_of_an_update(client: Any, provider: OpenAiEmulator) -> None:
    created = create(client, provider)
    endpoint = client.update_endpoint(
        endpoint="chat",
        config=redirected(
            {
                "served_entities": [
                    {
                        "name": "chats",
                        "external_model": {
                            "name": "gpt-4",
                            "provider": "openai",
                            "task": "llm/v1/chat",
                            "openai_config": {
                                "openai_api_key": "{{secrets/scope/key}}",
                            },
                        },
                    }
                ],
            },
            provider,
        ),
    )
    # The document prints the served entity's new name, "chats", as the endpoint's; a name cannot
    # change (the same document's tables), so the endpoint is still "chat".
    assert_contains(
        dict(endpoint),
        {
            "name": "chat",
            "creator": created.creator,
            "creation_timestamp": created.creation_timestamp,
            "last_updated_timestamp": ...,
            "state": ...,
            "config": ...,
            "tags": ...,
            "id": created.id,
        },
    )
    assert [served["name"] for served in endpoint.config["served_entities"]] == ["chats"]


def test_mlflow_example_of_rate_limits(client: Any, provider: OpenAiEmulator) -> None:
    create(client, provider)
    rate_limits = client.update_endpoint(
        endpoint="chat",
        config={
            "rate_limits": [
                {
                    "key": "user",
                    "renewal_period": "minute",
                    "calls": 10,
                }
            ],
        },
    )
    assert rate_limits == {
        "rate_limits": [
            {
                "key": "user",
                "renewal_period": "minute",
                "calls": 10,
            }
        ],
    }


def test_an_external_model_stays_external(rest: Rest) -> None:
    rest.create(printed("create_endpoint"))
    hosted = printed("multi_model")["config"]
    refused = rest.send("PUT", f"{ENDPOINTS}/openai_endpoint/config", hosted)
    assert refused.status_code == 400
    assert "external" in refused.json()["message"]
