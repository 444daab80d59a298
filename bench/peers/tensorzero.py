"""TensorZero: its Rust gateway, as its Python wheel holds it.

The wheel starts the same gateway, with the routes of OpenAI, on a free loopback port. Observability
is off, as in its own benchmarks; nothing else of its defaults costs anything for a request.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.children import child
from bench.peers.gateway import MODEL, Gateway, Place, Target, wait_until_answering
from bench.peers.install import python_packages

_PROGRAM = """
import sys, threading
from tensorzero import tensorzero
gateway = tensorzero._start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None,
    async_setup=False,
)
print(gateway.base_url, flush=True)
threading.Event().wait()
"""
_CONFIGURATION = """
[gateway]
observability.enabled = false

[models.{model}]
routing = ["mock"]

[models.{model}.providers.mock]
type = "openai"
model_name = "{model}"
api_base = "{provider}/v1/"
api_key_location = "none"
"""


@asynccontextmanager
async def _start(place: Place) -> AsyncIterator[Target]:
    file = place.directory / "tensorzero.toml"
    file.write_text(_CONFIGURATION.format(model=MODEL, provider=place.provider_url))
    command = (str(place.home / "bin" / "python"), "-c", _PROGRAM, str(file))
    # It logs each request otherwise, which its benchmarks count as well; this is the leaner.
    settings = {"RUST_LOG": "warn"}
    async with child(*command, settings=settings, directory=place.directory) as process:
        assert process.process.stdout is not None
        url = process.process.stdout.readline().decode().strip()
        target = Target(
            f"{url}/chat/completions", process.pid, model=f"tensorzero::model_name::{MODEL}"
        )
        await wait_until_answering(target, process)
        yield target


TENSORZERO = Gateway(
    name="TensorZero 2026.6.0",
    setting="Rust gateway of the wheel, observability off, no authentication, log level `warn`",
    documentation="https://www.tensorzero.com/docs/deployment/optimize-latency-and-throughput",
    install=python_packages("tensorzero.txt"),
    start=_start,
)
