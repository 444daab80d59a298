"""A deployment that hosts models, with a directory of real models as its registry."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.rest import ENDPOINTS, Json, Rest
from tests.e2e.system import System, run_system
from tests.hosting.models.cache import Saved
from tests.hosting.weights import model_file

# The models of the documents, and those of the tests, by name and version in the registry: which
# MLflow saved them, and how the folder is called there.
MODELS = {
    ("catalog.schema.model-A", "1"): ("3", "iris"),
    ("catalog.schema.model-B", "1"): ("3", "params"),
    ("main.ml.iris", "1"): ("3", "iris"),
    ("main.ml.iris", "2"): ("2", "iris"),
    ("main.ml.iris", "3"): ("3", "missing_module"),
    ("main.ml.params", "1"): ("2", "params"),
    ("main.ml.raising", "1"): ("3", "raising"),
    ("main.ml.not_finite", "1"): ("3", "not_finite"),
    ("main.ml.streaming", "1"): ("3", "streaming"),
    ("main.ml.responses", "1"): ("3", "responses_agent"),
    ("main.ml.chat", "1"): ("3", "chat_model"),
    ("main.ml.slow", "1"): ("3", "slow"),
    ("main.ml.leaking", "1"): ("3", "leaking"),
    ("main.ml.printing", "1"): ("3", "printing"),
    ("main.ml.hanging", "1"): ("3", "hanging"),
    ("main.ml.bare", "1"): ("3", "bare"),
}
# The one of the document on provisioned throughput: the small language model as it is.
FOUNDATION_MODEL = ("ml.llm-catalog.foundation-model", "3")
_GGUF = """\
flavors:
  gguf: {}
metadata:
  task: llm/v1/chat
  context_tokens: 1024
model_size_bytes: 145000000
"""
# A row of the iris model, which is of class 0.
FLOWER = {
    "dataframe_split": {
        "columns": [
            "sepal length (cm)",
            "sepal width (cm)",
            "petal length (cm)",
            "petal width (cm)",
        ],
        "data": [[5.1, 3.5, 1.4, 0.2]],
    }
}
_CONNECT_SECONDS = 60.0
# An environment may have to be built first.
_DEPLOY_SECONDS = 500.0


def fill_registry(folder: Path, saved: dict[str, Saved]) -> None:
    """Lay the models out as a registry of directories has them."""
    for (name, version), (mlflow, model) in MODELS.items():
        shutil.copytree(saved[mlflow].model(model), folder / name / version)
    add_foundation_model(folder)


def language_model(**variables: str) -> Json:
    """Return a configuration with the small language model, called `smol`."""
    name, version = FOUNDATION_MODEL
    entity = {
        "name": "smol",
        "entity_name": name,
        "entity_version": version,
        "workload_size": "Small",
        "scale_to_zero_enabled": False,
        "environment_vars": variables,
    }
    return {"served_entities": [entity]}


def add_foundation_model(folder: Path) -> None:
    """Lay out the small language model, which needs no environment, in a registry."""
    into = folder.joinpath(*FOUNDATION_MODEL)
    into.mkdir(parents=True)
    (into / "MLmodel").write_text(_GGUF)
    shutil.copy(model_file(), into)


@contextmanager
def hosting(data_dir: Path, registry: Path, **settings: str) -> Iterator[System]:
    """Run a deployment that hosts models, with further settings (without their prefix)."""
    given = {f"MODELPLANE_{name.upper()}": value for name, value in settings.items()}
    given["MODELPLANE_REGISTRY"] = f"directory:{registry}"
    with run_system(data_dir, settings=given) as system:
        with Rest(system) as rest:
            wait_for_launcher(rest)
        yield system


def wait_for_launcher(rest: Rest, model: str = "main.ml.iris") -> None:
    """Return once models can be hosted, which the first seconds of a deployment lack."""
    deadline = time.monotonic() + _CONNECT_SECONDS
    # A model that no registry has is refused first, so one that there is, too large to be deployed.
    probe = hosted("probe", model, workload_size="Large", workload_type="CPU_LARGE")
    body = {"name": "probe", "config": {"served_entities": [probe]}}
    while (answer := rest.send("POST", ENDPOINTS, body)).status_code == 503:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    assert answer.status_code == 400, answer.text


def hosted(name: str, model: str, version: str = "1", **fields: object) -> Json:
    """Return a served entity that the deployment hosts."""
    return {
        "name": name,
        "entity_name": model,
        "entity_version": version,
        "workload_size": "Small",
        "scale_to_zero_enabled": True,
        **fields,
    }


def split(**shares: int) -> Json:
    """Return a traffic split."""
    return {
        "routes": [
            {"served_model_name": name, "traffic_percentage": share}
            for name, share in shares.items()
        ]
    }


def deployed(rest: Rest, name: str, *entities: Json, traffic: Json | None = None) -> Json:
    """Create an endpoint and return it once it serves."""
    config: Json = {"served_entities": list(entities)}
    if traffic is not None:
        config["traffic_config"] = traffic
    rest.create({"name": name, "config": config})
    endpoint = settled(rest, name)
    assert endpoint["state"]["config_update"] == "NOT_UPDATING", endpoint
    assert endpoint["state"]["ready"] == "READY", endpoint
    return endpoint


def settled(rest: Rest, name: str, seconds: float = _DEPLOY_SECONDS) -> Json:
    """Return an endpoint once no update of it is in progress."""
    deadline = time.monotonic() + seconds
    while True:
        endpoint = rest.call("GET", f"{ENDPOINTS}/{name}")
        if endpoint["state"]["config_update"] != "IN_PROGRESS":
            return endpoint
        assert time.monotonic() < deadline, endpoint
        time.sleep(0.1)


def messages_of(endpoint: Json, config: str = "config") -> dict[str, str]:
    """Return what the states of the served entities say, by name."""
    return {
        entity["name"]: entity["state"]["deployment_state_message"]
        for entity in endpoint[config]["served_entities"]
    }


def states_of(endpoint: Json, config: str = "config") -> dict[str, str]:
    """Return the deployment states of the served entities, by name."""
    return {
        entity["name"]: entity["state"]["deployment"]
        for entity in endpoint[config]["served_entities"]
    }
