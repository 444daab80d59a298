"""The MLflow deployments client, unmodified, through Envoy, over both of its transports."""

from typing import Any

import pytest
import requests
from mlflow.deployments import get_deploy_client

from tests.e2e.rest import CHAT, entity
from tests.e2e.system import System
from tests.emulators.openai import OpenAiEmulator

# The client warns of its own deprecated styles of calling, which the documents use.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(params=["true", "false"], ids=["sdk-transport", "plain-transport"])
def client(request: pytest.FixtureRequest, system: System, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MLFLOW_ENABLE_DB_SDK", request.param)
    monkeypatch.setenv("DATABRICKS_HOST", system.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", system.token)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    client: Any = get_deploy_client("databricks")  # type: ignore[no-untyped-call]
    return client


def test_life_of_an_endpoint(client: Any, provider: OpenAiEmulator) -> None:
    made = client.create_endpoint(
        name="flow", config={"served_entities": [entity(provider)], "tags": [{"key": "team"}]}
    )
    assert made.name == "flow"
    assert made.state == {
        "ready": "READY",
        "config_update": "NOT_UPDATING",
        "suspend": "NOT_SUSPENDED",
        "system_update_failure": False,
    }
    assert made.tags == [{"key": "team"}]
    assert [item["name"] for item in client.list_endpoints()] == ["flow"]
    assert client.get_endpoint("flow").id == made.id

    answer = client.predict(endpoint="flow", inputs=CHAT)
    assert answer.choices[0]["message"]["content"] == "gpt-4 heard: hello there"

    chunks = list(client.predict_stream(endpoint="flow", inputs=CHAT))
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert text == "gpt-4 heard: hello there"

    updated = client.update_endpoint(
        endpoint="flow", config={"served_entities": [entity(provider, "newer", "gpt-4o")]}
    )
    assert updated.config["config_version"] == 2
    assert client.delete_endpoint("flow") == {}
    assert client.list_endpoints() == []


def test_newer_calls(client: Any, provider: OpenAiEmulator) -> None:
    limits = [{"calls": 10, "key": "user", "renewal_period": "minute"}]
    made = client.create_endpoint(
        config={
            "name": "newer",
            "config": {"served_entities": [entity(provider)]},
            "tags": [{"key": "team", "value": "gen-ai"}],
            "rate_limits": limits,
            "route_optimized": False,
        }
    )
    assert made.tags == [{"key": "team", "value": "gen-ai"}]
    updated = client.update_endpoint_config(
        endpoint="newer", config={"served_entities": [entity(provider, "second")]}
    )
    assert updated.config["served_entities"][0]["name"] == "second"
    tags = client.update_endpoint_tags(endpoint="newer", config={"add_tags": [{"key": "x"}]})
    assert tags == {"tags": [{"key": "team", "value": "gen-ai"}, {"key": "x"}]}
    put = client.update_endpoint_rate_limits(endpoint="newer", config={"rate_limits": limits})
    assert put == {"rate_limits": limits}
    gateway = {"usage_tracking_config": {"enabled": True}}
    stored = client.update_endpoint_ai_gateway(endpoint="newer", config=gateway)
    assert stored["usage_tracking_config"] == {"enabled": True}
    assert client.get_endpoint("newer").ai_gateway["usage_tracking_config"] == {"enabled": True}


def test_completions_and_embeddings(client: Any, provider: OpenAiEmulator) -> None:
    words = entity(provider, "words", "gpt-3.5-turbo-instruct", "llm/v1/completions")
    client.create_endpoint(name="words", config={"served_entities": [words]})
    asked = {"prompt": "once upon", "max_tokens": 10}
    told = client.predict(endpoint="words", inputs=asked)
    assert told.choices[0]["text"] == " gpt-3.5-turbo-instruct continues: once upon"
    chunks = list(client.predict_stream(endpoint="words", inputs=asked))
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == told.choices[0]["text"]

    vectors = entity(provider, "vectors", "text-embedding-3-small", "llm/v1/embeddings")
    client.create_endpoint(name="vectors", config={"served_entities": [vectors]})
    embedded = client.predict(endpoint="vectors", inputs={"input": ["a", "b"]})
    assert [item["index"] for item in embedded.data] == [0, 1]


def test_the_status_of_errors(client: Any, provider: OpenAiEmulator) -> None:
    def status(function: Any, **arguments: Any) -> int:
        with pytest.raises(requests.HTTPError) as failed:
            function(**arguments)
        assert failed.value.response is not None
        return failed.value.response.status_code

    client.create_endpoint(name="taken", config={"served_entities": [entity(provider)]})
    bad: dict[str, Any] = {"served_entities": [entity(provider), entity(provider)]}
    assert status(client.get_endpoint, endpoint="nowhere") == 404
    assert status(client.delete_endpoint, endpoint="nowhere") == 404
    assert status(client.predict, endpoint="nowhere", inputs=CHAT) == 404
    assert status(client.predict, endpoint="taken", inputs={"prompt": "x"}) == 400
    assert status(client.create_endpoint, name="bad name", config=bad) == 400
    assert status(client.update_endpoint_config, endpoint="taken", config=bad) == 400


def test_an_error_in_mid_stream_is_seen(client: Any, provider: OpenAiEmulator) -> None:
    client.create_endpoint(name="broken", config={"served_entities": [entity(provider)]})
    provider.misbehave("error_event", "gpt-4", after_events=2, held=True)
    stream = client.predict_stream(endpoint="broken", inputs=CHAT)
    assert next(stream)["choices"][0]["delta"]["role"] == "assistant"
    provider.resume()
    assert "emulated failure" in str(list(stream)[-1]["error"])
