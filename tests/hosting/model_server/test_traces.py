"""Traces that callers ask for, of a model whose steps MLflow traces."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosting.models.cache import Saved
from tests.hosting.replica import Replica, serving_with

SAVE = """
import sys, mlflow

class Traced(mlflow.pyfunc.PythonModel):
    @mlflow.trace(name="steps")
    def predict(self, context, model_input, params=None):
        return {"seen": str(model_input)}

    @mlflow.trace(name="pieces")
    def predict_stream(self, context, model_input, params=None):
        yield {"piece": 1}

mlflow.pyfunc.save_model(sys.argv[1], python_model=Traced(), pip_requirements=["mlflow"])
"""
ASKED = {"input": "hello", "databricks_options": {"return_trace": True}}


def save(saved: Saved, folder: Path) -> Path:
    model = folder / "traced"
    subprocess.run([saved.python, "-I", "-c", SAVE, model], check=True, capture_output=True)
    return model


@pytest.fixture(scope="module")
def model(mlflow_3: Saved, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(mlflow_3, tmp_path_factory.mktemp("traced"))


@pytest.fixture(scope="module")
def tracing(mlflow_3: Saved, model: Path) -> Iterator[Replica]:
    on = {"ENABLE_MLFLOW_TRACING": "true"}
    with serving_with(mlflow_3.python, model, model.parent, **on) as replica:
        yield replica


def spans(trace: Any) -> list[str]:
    return [span["name"] for span in trace["data"]["spans"]]


def test_an_answer_has_the_trace_that_was_asked_for(tracing: Replica) -> None:
    answer: Any = tracing.ask(ASKED, x_request_id="r-1").json
    assert "hello" in answer["seen"]
    assert answer["databricks_output"]["databricks_request_id"] == "r-1"
    assert spans(answer["databricks_output"]["trace"]) == ["steps"]
    rows = {"inputs": [1], "databricks_options": {"return_trace": True}}
    answer = tracing.ask(rows).json
    assert spans(answer["databricks_output"]["trace"]) == ["steps"]
    assert "seen" in answer["predictions"]


def test_a_stream_ends_with_it(tracing: Replica) -> None:
    events = tracing.ask({**ASKED, "stream": True}).body.split(b"\n\n")
    assert json.loads(events[0][6:]) == {"piece": 1}
    assert spans(json.loads(events[1][6:])["databricks_output"]["trace"]) == ["pieces"]
    assert events[2:] == [b"data: [DONE]", b""]


def test_who_does_not_ask_gets_none(tracing: Replica) -> None:
    for options in ({}, {"databricks_options": {"return_trace": False}}):
        assert list(tracing.ask({"input": "hello", **options}).json) == ["seen"]


def test_an_agent_tells_the_name_of_its_trace(mlflow_3: Saved, tmp_path: Path) -> None:
    """As MLflow's own server for agents does, `mlflow/genai/agent_server/server.py`."""
    agent = mlflow_3.model("responses_agent")
    asked = {"input": "hello you"}
    with serving_with(mlflow_3.python, agent, tmp_path, ENABLE_MLFLOW_TRACING="true") as replica:
        both = {**asked, "databricks_options": {"return_trace": True}}
        answer: Any = replica.ask(both, x_mlflow_return_trace_id="True").json
        name = answer["databricks_output"]["trace"]["info"]["trace_id"]
        assert name.startswith("tr-")
        assert answer["metadata"] == {"trace_id": name}
        assert answer["output"][0]["content"][0]["text"] == "hello you"
        streamed = replica.ask({**asked, "stream": True}, x_mlflow_return_trace_id="true")
        *_, item, last, done, nothing = streamed.body.split(b"\n\n")
        assert json.loads(item[6:])["type"] == "response.output_item.done"
        assert json.loads(last[6:])["trace_id"].startswith("tr-")
        assert (done, nothing) == (b"data: [DONE]", b"")
        for headers in ({}, {"x_mlflow_return_trace_id": "false"}):
            assert "metadata" not in replica.ask(asked, **headers).json


@pytest.mark.long
def test_without_the_owners_switch_no_name_is_told(mlflow_3: Saved, tmp_path: Path) -> None:
    with serving_with(mlflow_3.python, mlflow_3.model("responses_agent"), tmp_path) as replica:
        refused: Any = replica.ask({"input": "hello"}, x_mlflow_return_trace_id="true")
        assert refused.status == 400
        assert "or leave out return_trace and x-mlflow-return-trace-id" in refused.json["message"]


@pytest.mark.long
def test_without_the_owners_switch_it_is_refused(mlflow_3: Saved, model: Path) -> None:
    with serving_with(mlflow_3.python, model, model.parent) as replica:
        refused: Any = replica.ask(ASKED)
        assert refused.status == 400
        assert "ENABLE_MLFLOW_TRACING to true" in refused.json["message"]
        assert replica.ask({"input": "hello"}).status == 200


@pytest.mark.long
def test_where_mlflow_fails_to_make_one_the_answer_stands(mlflow_2: Saved, tmp_path: Path) -> None:
    # MLflow 2.22 traces with the OpenTelemetry of its time, and this is a later one.
    on = {"ENABLE_MLFLOW_TRACING": "true"}
    with serving_with(mlflow_2.python, save(mlflow_2, tmp_path), tmp_path, **on) as replica:
        answer: Any = replica.ask(ASKED, x_request_id="r-1").json
        assert "hello" in answer["seen"]
        assert answer["databricks_output"] == {"trace": None, "databricks_request_id": "r-1"}
