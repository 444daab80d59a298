"""Hosted models through the real clients: the Databricks SDK, MLflow's, OpenAI's and curl."""

import json
import subprocess
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import OperationFailed
from databricks.sdk.service.serving import EndpointCoreConfigInput, ServedEntityInput
from mlflow.deployments import get_deploy_client

from tests.e2e.rest import ENDPOINTS, Rest
from tests.e2e.system import System
from tests.hosting.e2e.deployment import (
    FLOWER,
    deployed,
    hosted,
    messages_of,
    settled,
    states_of,
)
from tests.hosting.e2e.processes import wait_for

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture
def workspace(host: System) -> WorkspaceClient:
    """Give the Databricks SDK's client."""
    return WorkspaceClient(host=host.url, token=host.token, auth_type="pat")


@pytest.fixture
def mlflow_client(host: System, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give `mlflow.deployments.get_deploy_client("databricks")`."""
    monkeypatch.setenv("DATABRICKS_HOST", host.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", host.token)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    return get_deploy_client("databricks")  # type: ignore[no-untyped-call]


def entity(version: str) -> ServedEntityInput:
    return ServedEntityInput(
        name="prod",
        entity_name="main.ml.iris",
        entity_version=version,
        workload_size="Small",
        scale_to_zero_enabled=True,
    )


def test_the_sdk_waits_updates_and_tells_why_it_failed(
    workspace: WorkspaceClient, api: Rest
) -> None:
    serving = workspace.serving_endpoints
    endpoint = serving.create_and_wait(
        "iris", config=EndpointCoreConfigInput(name="iris", served_entities=[entity("1")])
    )
    assert endpoint.state
    assert str(endpoint.state.ready) == "EndpointStateReady.READY"
    split: Any = FLOWER["dataframe_split"]
    records = [dict(zip(split["columns"], row, strict=True)) for row in split["data"]]
    assert serving.query("iris", dataframe_records=records).predictions == [0]

    # MLflow 2 logged the next version: it runs in an environment of its own.
    serving.update_config_and_wait("iris", served_entities=[entity("2")])
    assert serving.query("iris", dataframe_records=records).predictions == [0]

    def is_built() -> bool:
        built = serving.build_logs("iris", "prod").logs
        # As it is the first time, and as it is with what an earlier run has built.
        return "mlflow==2.22.0" in built or "The environment is there already" in built

    wait_for(is_built)
    assert serving.logs("iris", "prod").logs is not None

    with pytest.raises(OperationFailed):
        serving.update_config_and_wait("iris", served_entities=[entity("3")])
    failed = api.call("GET", f"{ENDPOINTS}/iris")
    assert failed["state"]["config_update"] == "UPDATE_FAILED"
    assert failed["state"]["ready"] == "READY"
    assert states_of(failed, "pending_config") == {"prod": "DEPLOYMENT_FAILED"}
    reason = messages_of(failed, "pending_config")["prod"]
    assert "An error occurred while loading the model." in reason
    assert "No module named 'nowhere_to_be_found'" in reason
    # The newest version of the name is the one that failed.
    assert "nowhere_to_be_found" in serving.logs("iris", "prod").logs
    assert serving.query("iris", dataframe_records=records).predictions == [0]
    serving.delete("iris")


def test_mlflow_deploys_and_asks(mlflow_client: Any, api: Rest) -> None:
    config = {"served_entities": [hosted("params", "main.ml.params")]}
    created = mlflow_client.create_endpoint(name="scaled", config=config)
    assert created["state"]["config_update"] == "IN_PROGRESS"
    endpoint = settled(api, "scaled")
    assert endpoint["state"]["ready"] == "READY"
    asked = {"dataframe_records": [{"x": 1.5}], "params": {"factor": 3.0, "label": "a"}}
    answer = mlflow_client.predict(endpoint="scaled", inputs=asked)
    assert answer["predictions"] == [{"scaled": 4.5, "label": "a"}]
    # MLflow 2 pinned in the model, so its own words about a wrong parameter.
    wrong = {"dataframe_records": [{"x": 1.5}], "params": {"factor": "much"}}
    answer = api.query("scaled", wrong)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "Invalid parameters found" in answer.json()["message"]


def test_curl_reads_a_stream(host: System, api: Rest) -> None:
    deployed(api, "words", hosted("words", "main.ml.streaming"))
    url = f"{host.url}/serving-endpoints/words/invocations"
    command = ["curl", "-sN", url, "-H", f"Authorization: Bearer {host.token}"]
    body = json.dumps({"prompt": "one two three", "stream": True})
    said = subprocess.run(
        [*command, "-H", "Content-Type: application/json", "-d", body],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    events = [line.removeprefix("data: ") for line in said.splitlines() if line]
    assert [json.loads(event)["word"] for event in events[:-1]] == ["one", "two", "three"]
    assert events[-1] == "[DONE]"
    # A failure on the way is an event of the stream.
    failed = api.query("words", {"prompt": "one fail two", "stream": True})
    lines = [line for line in failed.text.splitlines() if line]
    assert json.loads(lines[0].removeprefix("data: ")) == {"word": "one"}
    assert json.loads(lines[1].removeprefix("data: "))["error"]["message"]
    # Nothing says that it came to its end.
    assert lines[2:] == []


def test_agents_answer_in_their_own_forms(api: Rest) -> None:
    deployed(
        api,
        "agents",
        hosted(
            "responses", "main.ml.responses", environment_vars={"ENABLE_MLFLOW_TRACING": "true"}
        ),
        hosted("chat", "main.ml.chat"),
        traffic={
            "routes": [
                {"served_model_name": "responses", "traffic_percentage": 100},
                {"served_model_name": "chat", "traffic_percentage": 0},
            ]
        },
    )
    answer = api.query("agents", {"input": "hello you"}).json()
    assert answer["output"][0]["content"][0]["text"] == "hello you"
    named = {"x-mlflow-return-trace-id": "true"}
    path = "/serving-endpoints/agents/invocations"
    answer = api.send("POST", path, {"input": "hello you"}, headers=named).json()
    assert answer["metadata"]["trace_id"].startswith("tr-")
    # An entity without a share is there for those who name it.
    path = "/serving-endpoints/agents/served-models/chat/invocations"
    chat = {"messages": [{"role": "user", "content": "hello"}], "temperature": 0.5}
    answer = api.send("POST", path, chat).json()
    assert answer["choices"][0]["message"]["content"] == "hello at 0.5"


def test_what_a_model_does_wrong_is_told_without_its_insides(api: Rest) -> None:
    deployed(
        api,
        "wrong",
        hosted("raising", "main.ml.raising"),
        hosted("not_finite", "main.ml.not_finite"),
        traffic={
            "routes": [
                {"served_model_name": "raising", "traffic_percentage": 50},
                {"served_model_name": "not_finite", "traffic_percentage": 50},
            ]
        },
    )

    def ask(name: str, body: object) -> Any:
        path = f"/serving-endpoints/wrong/served-models/{name}/invocations"
        return api.send("POST", path, body)

    raised = ask("raising", {"dataframe_records": [{"how": "value"}]})
    assert (raised.status_code, raised.json()["error_code"]) == (400, "BAD_REQUEST")
    assert "Traceback" not in raised.text
    assert "/site-packages/" not in raised.text
    path = f"{ENDPOINTS}/wrong/served-models/raising/logs"
    wait_for(lambda: "Traceback" in api.call("GET", path)["logs"])
    missing = ask("not_finite", {"dataframe_records": [{"x": 1.0}]}).json()
    assert missing == {"predictions": [{"x": 1.0, "y": None, "z": None, "t": None}]}
    refused = ask("not_finite", {"rows": [1]})
    assert refused.status_code == 400
