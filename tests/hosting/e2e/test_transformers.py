"""The document's calls of `mlflow.transformers.log_model`, to a served answer.

Real transformers and PyTorch log small models, a real MLflow server registers them, and the
launcher converts and serves them. A hub on this machine has the models that the document names.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.rest import ENDPOINTS, Json, Rest
from tests.e2e.system import System, run_system
from tests.hosting.e2e.deployment import deployed, hosted, wait_for_launcher
from tests.hosting.mlflow_server import run_empty_server
from tests.hosting.models.cache import Saved, keep_environments
from tests.hosting.models.hub import running_hub
from tests.hosting.models.transformers_models import transformers_python
from tests.launcher.converter import tiny
from tests.requirements.examples import PRINTED

pytestmark = [pytest.mark.long, pytest.mark.timeout(1_800)]
PASSAGE = PRINTED / "log-foundation-models.txt"
LOG = Path(__file__).parents[1] / "models" / "log_printed.py"
TEXT, SENTENCE = "Hello", "a cat sat on cats."
PREFIX = "catalog.schema"


def hub_models(folder: Path) -> dict[str, Path]:
    """Return small models under the names of the document's, as the hub has them."""
    causal = tiny.write_causal(folder / "causal", tiny.config_of("mistral"))
    made = {
        "mosaicml/mixtral-8x7b-instruct": causal,
        "Alibaba-NLP/gte-large-en-v1.5": tiny.write_bert(folder / "bert"),
    }
    for model in made.values():
        for part in ("model", "components/tokenizer"):
            for file in (model / part).iterdir():
                file.rename(model / file.name)
    return made


@pytest.fixture(scope="module")
def logged(
    mlflow_3: Saved, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the address of a registry that has the models, and what transformers says."""
    folder = tmp_path_factory.mktemp("transformers")
    python = transformers_python()
    with (
        run_empty_server(mlflow_3, folder) as address,
        running_hub(hub_models(folder / "hub")) as hub,
    ):
        done = subprocess.run(
            [str(python), "-W", "ignore", str(LOG), address, str(PASSAGE)],
            cwd=folder,
            env={
                "PATH": f"{python.parent}:{os.defpath}",
                "HOME": str(folder),
                "HF_ENDPOINT": hub,
                "NO_PROXY": "127.0.0.1",
                # What a model imports is found by loading it once more; no engine wants to know.
                "MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-6000:]
        yield address, json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def running(logged: tuple[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    data_dir = tmp_path_factory.mktemp("deployment") / "data"
    keep_environments(data_dir)
    settings = {"MODELPLANE_REGISTRY": f"mlflow:{logged[0]}"}
    with run_system(data_dir, settings=settings) as system:
        with Rest(system) as rest:
            wait_for_launcher(rest, f"{PREFIX}.chat")
        yield system


@pytest.fixture
def api(running: System) -> Iterator[Rest]:
    with Rest(running) as rest:
        yield rest


def asked(api: Rest, name: str, question: Json) -> Json:
    answer = api.query(name, question)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.mark.parametrize("name", ["completions", "chat"])
def test_a_logged_model_writes(api: Rest, logged: tuple[str, Any], name: str) -> None:
    endpoint = deployed(api, name, hosted(name, f"{PREFIX}.{name}"))
    task = "llm/v1/completions" if name == "completions" else "llm/v1/chat"
    assert endpoint["task"] == task
    own = logged[1]["logprobs"]
    answer = asked(api, name, {"prompt": TEXT, "max_tokens": 2, "temperature": 0, "logprobs": 5})
    assert answer["usage"]["completion_tokens"] == 2
    told = answer["choices"][0]["logprobs"]
    assert told["token_logprobs"][0] == pytest.approx(own[0], abs=0.02)
    # Tokens that are no whole letter look alike, and are one alternative.
    for score in told["top_logprobs"][0].values():
        assert min(abs(score - one) for one in own) < 0.02
    if name != "completions":
        question = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
        said = asked(api, name, question | {"logprobs": True, "top_logprobs": 3})
        told = said["choices"][0]["logprobs"]["content"]
        assert [len(one["top_logprobs"]) for one in told] == [3, 3]
        streamed = api.query(name, question | {"stream": True}).text
        assert streamed.endswith("data: [DONE]\n\n")
    build_logs = api.call("GET", f"{ENDPOINTS}/{name}/served-models/{name}/build-logs")["logs"]
    assert "Converting the model's weights for llama.cpp." in build_logs


def test_a_logged_embedder_embeds(api: Rest, logged: tuple[str, Any]) -> None:
    model = f"{PREFIX}.embeddings"
    info = api.call("GET", f"{ENDPOINTS}/get-model-optimization-info/{model}/1")
    assert (info["optimizable"], info["model_type"]) == (True, "gte")
    chunk = info["throughput_chunk_size"]
    entity = {
        "name": "gte",
        "entity_name": model,
        "entity_version": "1",
        "min_provisioned_throughput": 0,
        "max_provisioned_throughput": chunk,
    }
    endpoint = deployed(api, "embeddings", entity)
    assert endpoint["task"] == "llm/v1/embeddings"
    [one] = asked(api, "embeddings", {"input": SENTENCE})["data"]
    found, own = one["embedding"], logged[1]["vector"]
    assert sum(a * a for a in found) == pytest.approx(1)
    assert sum(a * b for a, b in zip(found, own, strict=True)) == pytest.approx(1, abs=1e-3)


def test_weights_that_are_only_named_are_refused(api: Rest) -> None:
    entity = hosted("named", f"{PREFIX}.named")
    answer = api.send("POST", ENDPOINTS, {"name": "named", "config": {"served_entities": [entity]}})
    assert answer.status_code == 400, answer.text
    told = answer.json()["message"]
    assert "save_pretrained=False" in told
    assert "mosaicml/mixtral-8x7b-instruct" in told
