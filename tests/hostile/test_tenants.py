"""Attacks by a tenant without rights, while another tenant's calls go on."""

import json

import pytest

from tests.hostile.conftest import HONEST
from tests.hostile.honest import honest_calls
from tests.hostile.stage import CHAT, ENDPOINTS, Stage, Tenant, error_of

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

# Ways to write this machine; the last one is judged when it is resolved.
HERE = ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433")


def _at(url: str) -> object:
    model = {
        "name": "gpt-4o",
        "provider": "openai",
        "task": "llm/v1/chat",
        "openai_config": {"openai_api_key_plaintext": "k", "openai_api_base": url},
    }
    return {"served_entities": [{"name": "own", "external_model": model}]}


async def test_the_deployments_own_ports_as_upstreams(
    stage: Stage, honest: Tenant, mallory: Tenant
) -> None:
    ports = json.loads((stage.system.directory / "ports.json").read_text())
    async with honest_calls(honest, HONEST, "own ports as upstreams"):
        for name, port in ports.items():
            for host in HERE:
                body = {"name": f"own-{name}", "config": _at(f"http://{host}:{port}/v1")}
                refused = await mallory.call("POST", ENDPOINTS, body)
                assert refused.status == 400, (host, name, refused)
                assert "leads into the network" in error_of(refused)["message"]
        # Whoever is allowed to use this machine still may, on other ports.
        await mallory.create("beside-own-ports")
        query = "/serving-endpoints/beside-own-ports/invocations"
        assert (await mallory.call("POST", query, CHAT)).status == 200
