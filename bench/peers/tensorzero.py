"""TensorZero: its Rust gateway, as its Python wheel holds it.

The wheel starts the same gateway, with the routes of OpenAI, on a free loopback port. Observability
is off, as in its own benchmarks; nothing else of its defaults costs anything for a request.

Governed, it keeps each inference in PostgreSQL, in batches, and has two limits far above any load
in Valkey, one for all and one for each user. It cannot check keys here: what does so is in the
container image's gateway alone, not in the wheel's.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from bench.children import child
from bench.peers import databases
from bench.peers.gateway import MODEL, Gateway, Place, Target, wait_until_answering
from bench.peers.install import python_packages
from bench.peers.schema import fetch_source, make_tables

_PROGRAM = """
import sys, threading
from tensorzero import tensorzero
gateway = tensorzero._start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, async_setup=False,
    postgres_url=sys.argv[2] or None, valkey_url=sys.argv[3] or None,
)
print(gateway.base_url, flush=True)
threading.Event().wait()
"""
_BARE = """
[gateway]
observability.enabled = false
"""
_GOVERNED = """
[gateway]
observability.enabled = true
observability.backend = "postgres"
observability.async_writes = false
observability.batch_writes = { enabled = true }

[rate_limiting]
backend = "valkey"

[[rate_limiting.rules]]
model_inferences_per_minute = 1_000_000_000
always = true

[[rate_limiting.rules]]
model_inferences_per_minute = 1_000_000_000
always = true
scope = [{ tag_key = "user_id", tag_value = "tensorzero::each" }]
"""
_MODEL = """
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
    async with _started(place, _BARE, postgres="", valkey="") as target:
        yield target


@asynccontextmanager
async def _start_governed(place: Place) -> AsyncIterator[Target]:
    async with AsyncExitStack() as stack:
        rows = await stack.enter_async_context(databases.postgres())
        await make_tables(place.home, rows.url)
        counters = await stack.enter_async_context(databases.valkey(place.directory))
        started = _started(place, _GOVERNED, postgres=rows.url, valkey=counters.url)
        target = await stack.enter_async_context(started)
        tags = {"tensorzero::tags": {"user_id": "ann@example.com"}}
        yield replace(target, extra=tags, databases=(rows.pid, counters.pid))


@asynccontextmanager
async def _started(
    place: Place, configuration: str, *, postgres: str, valkey: str
) -> AsyncIterator[Target]:
    file = place.directory / "tensorzero.toml"
    file.write_text(configuration + _MODEL.format(model=MODEL, provider=place.provider_url))
    python = str(place.home / "bin" / "python")
    command = (python, "-c", _PROGRAM, str(file), postgres, valkey)
    # It logs each request otherwise, which its benchmarks count as well; this is the leaner.
    settings = {"RUST_LOG": "warn"}
    started = child(*command, settings=settings, directory=place.directory, speaks=True)
    async with started as process:
        url = process.first_line()
        target = Target(
            f"{url}/chat/completions", process.pid, model=f"tensorzero::model_name::{MODEL}"
        )
        await wait_until_answering(target, process)
        yield target


def _install_governed(home: Path) -> None:
    databases.valkey_program()
    _INSTALL(home)
    if not any(home.glob("*.tar.gz")):
        fetch_source(home)


_INSTALL = python_packages("tensorzero.txt")
TENSORZERO = (
    Gateway(
        name="TensorZero 2026.6.0",
        setting="Rust gateway of the wheel, observability off, no authentication, log level `warn`",
        documentation="https://www.tensorzero.com/docs/deployment/optimize-latency-and-throughput",
        install=_INSTALL,
        start=_start,
    ),
    Gateway(
        name="TensorZero 2026.6.0, governed",
        setting="the same with inferences kept in PostgreSQL (batches) and two limits in Valkey, "
        "no authentication: the wheel's gateway has none",
        documentation="https://www.tensorzero.com/docs/operations/enforce-custom-rate-limits",
        install=_install_governed,
        start=_start_governed,
        governed=True,
    ),
)
