"""Fixtures of what is hosted: real models, saved by real MLflow 2 and 3."""

from collections.abc import Iterator

import pytest

from tests.hosting.mlflow_server import run_mlflow_server
from tests.hosting.models.cache import REQUIREMENTS, Saved, saved


@pytest.fixture(scope="session")
def mlflow_2() -> Saved:
    """Give the models that MLflow 2 saved."""
    return saved("2")


@pytest.fixture(scope="session")
def mlflow_3() -> Saved:
    """Give the models that MLflow 3 saved."""
    return saved("3")


@pytest.fixture(scope="session", params=sorted(REQUIREMENTS))
def mlflow_any(request: pytest.FixtureRequest) -> Saved:
    """Give the models of each MLflow in turn."""
    return saved(request.param)


@pytest.fixture(scope="session")
def mlflow_server(mlflow_3: Saved, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a real MLflow server that has the models of the documents."""
    with run_mlflow_server(mlflow_3, tmp_path_factory.mktemp("mlflow")) as address:
        yield address
