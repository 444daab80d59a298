"""LiteLLM's proxy: one Uvicorn worker, a master key, no database, and logs of errors only.

That is the production checklist without what needs a database: no virtual keys, budgets or spend.
"""

from contextlib import AbstractAsyncContextManager

from bench.children import free_address
from bench.peers.gateway import MODEL, PROVIDER_KEY, Gateway, Place, Target, started
from bench.peers.install import python_packages

_MASTER_KEY = "sk-bench"
_CONFIGURATION = """
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_key: {key}
      api_base: {provider}/v1
general_settings:
  master_key: {master_key}
litellm_settings:
  set_verbose: false
"""
_SETTINGS = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    # It would fetch prices over the network at its start.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


def _start(place: Place) -> AbstractAsyncContextManager[Target]:
    file = place.directory / "litellm.yaml"
    text = _CONFIGURATION.format(
        model=MODEL, key=PROVIDER_KEY, provider=place.provider_url, master_key=_MASTER_KEY
    )
    file.write_text(text)
    address = free_address()
    port = address.rpartition(":")[2]
    options = ("--config", str(file), "--host", "127.0.0.1", "--port", port, "--num_workers", "1")
    headers = {"authorization": f"Bearer {_MASTER_KEY}"}
    return started(
        place,
        (str(place.home / "bin" / "litellm"), *options),
        _SETTINGS,
        lambda pid: Target(f"http://{address}/v1/chat/completions", pid, headers),
    )


LITELLM = Gateway(
    name="LiteLLM 1.106.2",
    setting="one Uvicorn worker, master key, no database, `LITELLM_LOG=ERROR`",
    documentation="https://docs.litellm.ai/docs/proxy/prod",
    install=python_packages("litellm.txt"),
    start=_start,
)
