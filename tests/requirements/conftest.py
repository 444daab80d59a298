"""The clients that the documents use; the running system comes from `tests/e2e/fixtures.py`."""

from collections.abc import Iterator
from typing import Any

import pytest
from mlflow.deployments import get_deploy_client
from openai import OpenAI

from tests.e2e.system import System


@pytest.fixture
def client(system: System, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give `mlflow.deployments.get_deploy_client("databricks")`."""
    monkeypatch.setenv("DATABRICKS_HOST", system.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", system.token)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    client: Any = get_deploy_client("databricks")  # type: ignore[no-untyped-call]
    return client


@pytest.fixture
def openai_client(system: System) -> Iterator[OpenAI]:
    """Give the OpenAI client, pointed at the system as the documents do."""
    base = f"{system.url}/serving-endpoints"
    with OpenAI(api_key=system.token, base_url=base, max_retries=0) as client:
        yield client
