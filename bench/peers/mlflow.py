"""MLflow's gateway: `mlflow gateway start` with one worker and one chat endpoint.

It has no authentication, limits or usage of its own in this form, so there is nothing to turn off.
"""

from contextlib import AbstractAsyncContextManager

from bench.children import free_address
from bench.peers.gateway import MODEL, PROVIDER_KEY, Gateway, Place, Target, started
from bench.peers.install import python_packages

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


MLFLOW = Gateway(
    name="MLflow gateway 3.17.2",
    setting="`mlflow gateway start --workers 1`, one chat endpoint, no authentication",
    documentation="https://mlflow.org/docs/latest/genai/governance/ai-gateway/setup",
    install=python_packages("mlflow.txt"),
    start=_start,
)
