"""One running system and all emulated providers for all tests; `tests/conftest.py` loads this.

A test that asks for `system` finds it without endpoints and the providers without faults.
"""

from collections.abc import Iterator

import pytest
import requests

from tests.e2e.rest import Rest
from tests.e2e.system import System, run_system
from tests.emulators import amazon_bedrock, anthropic, openai
from tests.emulators.amazon_bedrock import BedrockEmulator
from tests.emulators.anthropic import AnthropicEmulator
from tests.emulators.fleet import Fleet, running_fleet
from tests.emulators.openai import OpenAiEmulator

# The scopes and keys that the product's documents use.
SECRETS = [
    ("my_scope", "my_openai_api_key", openai.API_KEY),
    ("scope", "key", openai.API_KEY),
    ("my_openai_secret_scope", "openai_api_key", openai.API_KEY),
    ("my_anthropic_secret_scope", "anthropic_api_key", anthropic.API_KEY),
    ("my_amazon_bedrock_secret_scope", "aws_access_key_id", amazon_bedrock.KEY.key_id),
    ("my_amazon_bedrock_secret_scope", "aws_secret_access_key", amazon_bedrock.KEY.secret),
]


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """Give an emulator of each provider."""
    with running_fleet() as running:
        yield running


@pytest.fixture(scope="session")
def provider(fleet: Fleet) -> OpenAiEmulator:
    """Give the emulated OpenAI."""
    emulator = fleet.emulators["openai"]
    assert isinstance(emulator, OpenAiEmulator)
    return emulator


@pytest.fixture(scope="session")
def anthropic_provider(fleet: Fleet) -> AnthropicEmulator:
    """Give the emulated Anthropic."""
    emulator = fleet.emulators["anthropic"]
    assert isinstance(emulator, AnthropicEmulator)
    return emulator


@pytest.fixture(scope="session")
def bedrock_provider(fleet: Fleet) -> BedrockEmulator:
    """Give the emulated Bedrock."""
    emulator = fleet.emulators["amazon-bedrock"]
    assert isinstance(emulator, BedrockEmulator)
    return emulator


@pytest.fixture(scope="session")
def running_system(tmp_path_factory: pytest.TempPathFactory, fleet: Fleet) -> Iterator[System]:
    """Give the system, and a credential under every documented secret."""
    pairs = ",".join(f"{origin}={stand_in}" for origin, stand_in in fleet.origins.items())
    settings = {
        "MODELPLANE_UPSTREAM_ORIGINS": pairs,
        "MODELPLANE_PAYLOAD_SEAL_SECONDS": "0.1",
    }
    data_dir = tmp_path_factory.mktemp("modelplane") / "data"
    with run_system(data_dir, settings=settings) as system:
        with Rest(system) as rest:
            for scope in {scope for scope, *_ in SECRETS}:
                rest.call("POST", "/api/2.0/secrets/scopes/create", {"scope": scope})
            for scope, key, value in SECRETS:
                secret = {"scope": scope, "key": key, "string_value": value}
                rest.call("POST", "/api/2.0/secrets/put", secret)
        yield system


@pytest.fixture
def system(running_system: System, fleet: Fleet) -> Iterator[System]:
    """Give the system; what the test made in it and told the providers goes away afterwards."""
    fleet.forget()
    yield running_system
    fleet.forget()
    with Rest(running_system) as rest:
        for endpoint in rest.call("GET", "/api/2.0/serving-endpoints")["endpoints"]:
            rest.call("DELETE", f"/api/2.0/serving-endpoints/{endpoint['name']}")


@pytest.fixture
def rest(system: System) -> Iterator[Rest]:
    """Give a plain REST client."""
    with Rest(system) as client:
        yield client


@pytest.fixture
def anonymous() -> Iterator[requests.Session]:
    """Give an HTTP client without a token."""
    with requests.Session() as session:
        yield session
