"""MLflow's gateway: `mlflow gateway start` with one worker and one chat endpoint.

It has no authentication, limits or usage of its own in this form, so there is nothing to turn off.
Governed, it is the gateway of `mlflow server`, which has its endpoints and its credentials in a
database, and with usage tracking keeps a trace of each call there. It has no limits but budgets.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from bench.children import free_address
from bench.peers.gateway import MODEL, PROVIDER_KEY, Gateway, Place, Target, started
from bench.peers.install import python_packages, run

_CONFIGURATION = """
endpoints:
  - name: {model}
    endpoint_type: llm/v1/chat
    model:
      provider: openai
      name: {model}
      config:
        openai_api_key: {key}
        openai_api_base: {provider}/v1
"""


# Makes an endpoint where the server will find it.
_CREATE = """
import sys
from mlflow.entities import GatewayEndpointModelConfig, GatewayModelLinkageType
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
database, artifacts, name, key, base = sys.argv[1:]
store = SqlAlchemyStore(database, artifacts)
secret = store.create_gateway_secret(
    name, {"api_key": key}, provider="openai", auth_config={"api_base": base}
)
model = store.create_gateway_model_definition(name, secret.secret_id, "openai", name)
link = GatewayEndpointModelConfig(
    model_definition_id=model.model_definition_id,
    linkage_type=GatewayModelLinkageType.PRIMARY,
    weight=1.0,
)
store.create_gateway_endpoint(name, [link], usage_tracking=True)
"""
_STORE_SETTINGS = {
    "MLFLOW_CRYPTO_KEK_PASSPHRASE": "of the benchmark alone",
    "MLFLOW_GATEWAY_API_BASE_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def _start(place: Place) -> AbstractAsyncContextManager[Target]:
    file = place.directory / "mlflow.yaml"
    file.write_text(
        _CONFIGURATION.format(model=MODEL, key=PROVIDER_KEY, provider=place.provider_url)
    )
    address = free_address()
    programs = place.home / "bin"
    port = address.rpartition(":")[2]
    options = ("--config-path", str(file), "--host", "127.0.0.1", "--port", port, "--workers", "1")
    # It finds gunicorn by PATH.
    settings = {"PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin"}
    return started(
        place,
        (str(programs / "mlflow"), "gateway", "start", *options),
        settings,
        lambda pid: Target(f"http://{address}/v1/chat/completions", pid),
    )


@asynccontextmanager
async def _start_governed(place: Place) -> AsyncIterator[Target]:
    programs = place.home / "bin"
    database = f"sqlite:///{place.directory / 'mlflow.db'}"
    artifacts = str(place.directory / "artifacts")
    arguments = (database, artifacts, MODEL, PROVIDER_KEY, f"{place.provider_url}/v1")
    create = (str(programs / "python"), "-c", _CREATE, *arguments)
    await asyncio.to_thread(run, *create, environment=_STORE_SETTINGS)
    host, _, port = free_address().rpartition(":")
    options = (
        "--host",
        host,
        "--port",
        port,
        "--workers",
        "1",
        "--default-artifact-root",
        artifacts,
    )
    command = (str(programs / "mlflow"), "server", "--backend-store-uri", database, *options)
    url = f"http://{host}:{port}/gateway/mlflow/v1/chat/completions"
    settings = {**_STORE_SETTINGS, "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin"}
    async with started(place, command, settings, lambda pid: Target(url, pid)) as target:
        yield target


MLFLOW = (
    Gateway(
        name="MLflow gateway 3.17.2",
        setting="`mlflow gateway start --workers 1`, one chat endpoint, no authentication",
        documentation="https://mlflow.org/docs/latest/genai/governance/ai-gateway/setup",
        install=python_packages("mlflow.txt"),
        start=_start,
    ),
    Gateway(
        name="MLflow gateway 3.17.2, governed",
        setting="`mlflow server --workers 1` with SQLite, an endpoint with usage tracking, "
        "no authentication, no limits: it has budgets alone",
        documentation="https://mlflow.org/docs/latest/genai/governance/ai-gateway/usage-tracking",
        install=python_packages("mlflow.txt"),
        start=_start_governed,
        governed=True,
    ),
)
