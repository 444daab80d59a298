"""A language model whose throughput is provisioned, from the document's script to its answers."""

import re
import subprocess
import sys

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.serving import PtEndpointCoreConfig, PtServedModel

from tests.e2e.rest import ENDPOINTS, Json, Rest
from tests.e2e.system import System
from tests.hosting.e2e.deployment import FOUNDATION_MODEL, settled, states_of
from tests.hosting.e2e.processes import only_replicas, wait_for
from tests.requirements.examples import PRINTED

NAME, VERSION = FOUNDATION_MODEL
INFO = f"{ENDPOINTS}/get-model-optimization-info/{NAME}/{VERSION}"
ASKED = {"messages": [{"role": "user", "content": "Name one colour."}], "max_tokens": 4}


def printed_script(host: System) -> str:
    """Return the document's script, with what it leaves to the reader."""
    text = (PRINTED / "provisioned-throughput.txt").read_text(encoding="utf-8")
    script = text[text.index("import requests") :]
    script = script.replace("<YOUR-API-URL>", host.url).replace("<YOUR-API-TOKEN>", host.token)
    # A line cannot begin with a call, as one does in print.
    return re.sub(r"\n\s*\.json\(\)", ".json()", script, count=1)


def provisioned(**fields: object) -> Json:
    return {"name": "smol", "entity_name": NAME, "entity_version": VERSION, **fields}


def test_the_printed_script_serves_answers(host: System, api: Rest) -> None:
    info = api.call("GET", INFO)
    # By the size that its MLmodel file says.
    assert info == {"optimizable": True, "throughput_chunk_size": 80, "estimated": True}
    chunk = info["throughput_chunk_size"]
    ran = subprocess.run(
        [sys.executable, "-"],
        input=printed_script(host),
        env={"NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert '"config_update": "IN_PROGRESS"' in ran.stdout
    endpoint = settled(api, "prov-throughput-endpoint")
    assert states_of(endpoint) == {"foundation-model-3": "DEPLOYMENT_READY"}, endpoint
    [entity] = endpoint["config"]["served_entities"]
    assert entity["min_provisioned_throughput"] == 2 * chunk
    assert entity["max_provisioned_throughput"] == 3 * chunk
    assert endpoint["task"] == "llm/v1/chat"
    answer = api.query("prov-throughput-endpoint", ASKED | {"logprobs": True})
    assert answer.status_code == 200, answer.text
    [choice] = answer.json()["choices"]
    assert choice["message"]["content"]
    assert len(choice["logprobs"]["content"]) == 4
    # By now it was measured on this machine.
    wait_for(lambda: "estimated" not in api.call("GET", INFO))
    assert api.call("GET", INFO)["throughput_chunk_size"] > 0
    # The least that is provisioned is two replicas, each of which does one chunk.
    only_replicas(host, 2)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"max_provisioned_throughput": 1_000_003}, "it must be a multiple of"),
        ({"min_provisioned_throughput": 160, "max_provisioned_throughput": 80}, "lower the first"),
        ({"min_provisioned_throughput": 80}, "needs max_provisioned_throughput"),
        ({"max_provisioned_throughput": 80, "entity_name": "main.ml.iris"}, "Python function"),
        ({"provisioned_model_units": -5}, "it must be from 1 to"),
    ],
)
def test_what_cannot_be_provisioned_is_refused(api: Rest, fields: Json, told: str) -> None:
    entity = provisioned(**fields)
    answer = api.send("POST", ENDPOINTS, {"name": "x", "config": {"served_entities": [entity]}})
    assert answer.status_code == 400, answer.text
    assert told in answer.json()["message"]


def test_the_route_of_model_units_takes_nothing_else(api: Rest) -> None:
    entities = [provisioned(max_provisioned_throughput=80)]
    body = {"name": "x", "config": {"served_entities": entities}}
    answer = api.send("POST", f"{ENDPOINTS}/pt", body)
    assert answer.status_code == 400, answer.text
    assert "provisioned_model_units is required here" in answer.json()["message"]


def test_a_model_that_no_engine_serves_is_not_optimizable(api: Rest) -> None:
    info = api.call("GET", f"{ENDPOINTS}/get-model-optimization-info/main.ml.iris/1")
    assert info["optimizable"] is False
    assert "Python function" in info["reason"]


def test_model_units_are_held_to_with_the_sdk(host: System, api: Rest) -> None:
    serving = WorkspaceClient(host=host.url, token=host.token).serving_endpoints
    # A fiftieth of what this machine does.
    entity = PtServedModel(
        entity_name=NAME, entity_version=VERSION, name="smol", provisioned_model_units=1
    )
    config = PtEndpointCoreConfig(served_entities=[entity])
    endpoint = serving.create_provisioned_throughput_endpoint_and_wait("units", config)
    assert endpoint.config is not None
    assert endpoint.config.served_entities is not None
    assert endpoint.config.served_entities[0].provisioned_model_units == 1
    long = {"messages": [{"role": "user", "content": "word " * 900}], "max_tokens": 1}
    assert api.query("units", long).status_code == 200
    # It has used many more. Another worker may let one in before it has heard of that.
    answers = [api.query("units", ASKED) for _ in range(5)]
    for refused in answers[2:]:
        assert refused.status_code == 429, refused.text
        assert refused.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
        assert "tokens per second" in refused.json()["message"]
        assert int(refused.headers["retry-after"]) >= 1
