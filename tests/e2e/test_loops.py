"""Endpoints whose provider is this very gateway: a call that goes in circles ends, clearly.

The gateway refuses its own port; a proxy before it that it does not know of leads back to it all
the same.
"""

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from modelplane.data_plane.upstreams.hops import MAX_HOPS
from tests.e2e.rest import CHAT, ENDPOINTS, Json, Rest, endpoint, entity
from tests.e2e.system import System, wait_for
from tests.emulators.openai import OpenAiEmulator

CALLS = MAX_HOPS + 1


@pytest.fixture
def proxy(system: System) -> Iterator[str]:
    """Run a proxy before the gateway; return its URL."""

    class Pipe(BaseRequestHandler):
        def handle(self) -> None:
            host, _, port = system.target.rpartition(":")
            with socket.create_connection((host, int(port))) as gateway:
                back = threading.Thread(target=_copy, args=(gateway, self.request), daemon=True)
                back.start()
                _copy(self.request, gateway)
                back.join()

    with ThreadingTCPServer(("127.0.0.1", 0), Pipe) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Send on what is received, and then that there is no more."""
    with suppress(OSError):
        with source.makefile("rb", 0) as received, target.makefile("wb", 0) as sent:
            shutil.copyfileobj(received, sent)
        target.shutdown(socket.SHUT_WR)


def served_by(system: System, url: str, provider: str, name: str) -> Json:
    """Return a served entity that is an endpoint of this gateway, as a provider's model.

    Args:
        system: The gateway.
        url: Where it is to be called.
        provider: The provider that it stands for.
        name: The endpoint.
    """
    own = f"{url}/serving-endpoints"
    configs: Json = {
        "openai": {
            "openai_config": {"openai_api_base": own, "openai_api_key_plaintext": system.token}
        },
        "custom": {
            "custom_provider_config": {
                "custom_provider_url": f"{own}/{name}/invocations",
                "bearer_token_auth": {"token_plaintext": system.token},
            }
        },
        "databricks-model-serving": {
            "databricks_model_serving_config": {
                "databricks_workspace_url": url,
                "databricks_api_token_plaintext": system.token,
            }
        },
    }
    model = {"name": name, "provider": provider, "task": "llm/v1/chat", **configs[provider]}
    return {"name": "self", "external_model": model}


def count_calls(system: System, names: list[str]) -> float:
    """Return how many calls the workers have answered for the endpoints."""
    total = 0.0
    for worker in json.loads((system.data_dir / "up.json").read_text())["workers"]:
        page = requests.get(worker["metrics_url"], timeout=60).text
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                if (
                    sample.name == "modelplane_requests_total"
                    and sample.labels["endpoint"] in names
                ):
                    total += sample.value
    return total


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("providers", "names"),
    [
        (["openai"], ["loop"]),
        (["custom"], ["loop"]),
        (["databricks-model-serving"], ["loop"]),
        (["custom", "openai", "databricks-model-serving"], ["one", "two", "three"]),
    ],
    ids=["openai", "custom", "databricks", "ring"],
)
def test_a_call_that_goes_in_circles_is_refused(
    system: System, rest: Rest, proxy: str, providers: list[str], names: list[str], *, stream: bool
) -> None:
    for place, (provider, name) in enumerate(zip(providers, names, strict=True)):
        following = names[(place + 1) % len(names)]
        rest.create(endpoint(name, served_by(system, proxy, provider, following)))
    answer = rest.query(names[0], {**CHAT, "stream": stream})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST")
    assert "an endpoint on its way calls itself" in answer.json()["message"]
    # Each is counted once it is answered, which its caller may hear before.
    wait_for(lambda: count_calls(system, names) == CALLS)


@pytest.mark.parametrize("provider", ["openai", "custom", "databricks-model-serving"])
def test_its_own_port_is_no_provider(system: System, rest: Rest, provider: str) -> None:
    body = endpoint("own", served_by(system, system.url, provider, "own"))
    refused = rest.send("POST", ENDPOINTS, body)
    assert refused.status_code == 400
    assert "leads into this deployment itself" in refused.json()["message"]


def test_a_gateway_may_be_the_provider_of_another(
    system: System, rest: Rest, proxy: str, provider: OpenAiEmulator
) -> None:
    """As many in a row as may be: the last one asks the model."""
    names = [f"gateway-{place}" for place in range(MAX_HOPS)]
    at = "databricks-model-serving"
    entities = [served_by(system, proxy, at, name) for name in names[1:]]
    for name, served in zip(names, [*entities, entity(provider)], strict=True):
        rest.create(endpoint(name, served))
    answer = rest.query(names[0], CHAT)
    assert answer.json()["choices"][0]["message"]["content"] == "gpt-4 heard: hello there"


def test_a_caller_can_only_have_its_own_call_refused(rest: Rest, provider: OpenAiEmulator) -> None:
    rest.create(endpoint("talk", entity(provider)))
    path = "/serving-endpoints/talk/invocations"
    refused = rest.send("POST", path, CHAT, headers={"X-Modelplane-Hops": str(MAX_HOPS)})
    assert refused.status_code == 400
    assert rest.send("POST", path, CHAT, headers={"X-Modelplane-Hops": "-1"}).status_code == 200
