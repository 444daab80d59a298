"""Fixtures of what is hosted: real models, saved by real MLflow 2 and 3."""

import pytest

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
