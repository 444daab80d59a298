"""Portkey's open-source gateway on Node.js: `node build/start-server.js --headless`.

The provider comes with each request, in headers; it knows no callers. `@hono/node-server` is held
at 1.13.8, since with the newest it answers no streamed request at all:
https://github.com/Portkey-AI/gateway/issues/1389
"""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from bench.children import free_address
from bench.peers.gateway import PROVIDER_KEY, Gateway, Place, Target, started
from bench.peers.install import node_packages

_LOOPBACK = Path(__file__).with_name("loopback.mjs")


def _start(place: Place) -> AbstractAsyncContextManager[Target]:
    address = free_address()
    port = address.rpartition(":")[2]
    program = place.home / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    headers = {
        "authorization": f"Bearer {PROVIDER_KEY}",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"{place.provider_url}/v1",
    }
    return started(
        place,
        ("node", "--import", _LOOPBACK.as_uri(), str(program), "--headless", f"--port={port}"),
        {"NODE_ENV": "production"},
        lambda pid: Target(f"http://{address}/v1/chat/completions", pid, headers),
    )


PORTKEY = Gateway(
    name="Portkey 1.15.2",
    setting="`node build/start-server.js --headless`, `NODE_ENV=production`, no authentication",
    documentation="https://github.com/Portkey-AI/gateway/blob/main/docs/installation-deployments.md",
    install=node_packages("portkey.json"),
    start=_start,
)
